"""What developers run: documents, figures, training, locks. No part of the wheel."""
