"""The closing table of a generation."""

from rich.table import Table

CAUSES = {
    "weight": "weights streamed",
    "kv_read": "K and V read",
    "kv_write": "K and V written",
    "fetch": "rows fetched",
    "wait_ring": "waiting for the ring",
    "wait_vector": "waiting for the vector unit",
    "wait_drain": "draining short rows",
    "issue": "no instruction ready",
    "idle": "between passes",
}


def closing_table(report):
    """A rich table of what a generation took; simulated figures carry their unit, host time is labelled as measured."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("backend", f"{report['backend']}, configuration {report['config']['name']}")
    table.add_row("prompt tokens, generated tokens", f"{len(report['prompt_tokens'])}, {len(report['tokens'])}")
    table.add_row("passes, tokens per pass", f"{report['passes']}, {report['tokens_per_pass']}")
    if report.get("ended", "").startswith("context"):
        table.add_row("ended by", f"end of the {report['ended']}")
    cycles = report["cycles"]
    if cycles:
        table.add_row(
            "cycles (simulated): total, prefill, decode",
            f"{cycles['total']:,}, {cycles['prefill']:,}, {cycles['decode']:,}",
        )
        table.add_row("time to first token (simulated)", f"{cycles['first_token']:,} cycles")
        table.add_row("utilization of the banks (simulated)", f"{report['utilization']:.3f}")
        total = sum(cycles["causes"].values()) or 1
        for name, count in sorted(cycles["causes"].items(), key=lambda item: -item[1]):
            if count:
                table.add_row(f"  {CAUSES[name]}", f"{100 * count / total:.1f} %")
        table.add_row("simulation speed (measured)", f"{cycles['per_second']:,.0f} cycles/s")
    rate = len(report["tokens"]) / report["seconds"] if report["seconds"] else 0
    table.add_row("host time (measured)", f"{report['seconds']:.1f} s, {rate:.1f} tokens/s")
    if clipped := report.get("saturated", {}).get("total"):  # figures in docs/ may be older than this field
        table.add_row("values clipped", f"{clipped:,}")
    if report["golden_match"] is not None:
        table.add_row("equal to the golden model, bit for bit", "yes" if report["golden_match"] else "NO")
    return table
