"""The ring that joins the tiles of a chiplet and the conductor."""
