"""Top module of a whole-machine simulation: the package, monitors that write the logits trace and what tiles and
conductor are busy with to files, and wave control.

The first monitor spares Python a wake-up per row: a line is ``row mask value...``, one value per lane, all
hexadecimal; and behind the rows of a pass ``v kept position...``: which lanes belong to the text, and where.

The second writes a line for each change: ``tile cycle activity`` with the last in hexadecimal, or ``p cycle phase``, or
for a verdict ``v cycle kept``; cycles since the simulation began.
"""

from hayate.rtl.contract.activity import ACTIVITY, PHASE_BITS

TILE = "hayate_tile"  # the tile's Verilog module, as `rtl.emit` names it by default


def sim_top(config, ports, prefix="hayate"):
    """Verilog of module ``sim_top`` around the package module `prefix`, whose `ports` it passes on except for the
    trace.

    Plusargs: ``+hayate_trace=FILE``; ``+hayate_activity=FILE``; ``+hayate_waves=FILE`` with ``+hayate_wave_first=N``
    and ``+hayate_wave_last=N``: cycles since the simulation began, from the first up to the last, which is not
    recorded.
    """
    of_monitors = ("trace_", "activity_", "phase")
    kept = [p for p in ports if not p.name.startswith(of_monitors)]
    traced = [p for p in ports if p.name.startswith(of_monitors)]

    def width(p):
        return f"[{p.width - 1}:0] " if p.width > 1 else ""

    head = ",\n".join(f"  {p.direction} wire {width(p)}{p.name}" for p in kept)
    wires = "\n".join(f"  wire {width(p)}{p.name};" for p in traced)
    pins = ",\n".join(f"    .{p.name}({p.name})" for p in ports)
    lanes = range(config.lanes)
    form = "%0h %0h" + " %h" * config.lanes
    monitors = "\n".join(
        f'      if (trace_valid__{t}) $fwrite(trace, "{form}\\n", trace_row__{t}, trace_mask__{t}, '
        + ", ".join(f"trace_values__{t}[{32 * n}+:32]" for n in lanes)
        + ");"
        for t in range(config.tiles)
    )
    verdict = (
        f'      if (trace_verdict) $fwrite(trace, "v %0h{" %0h" * config.lanes}\\n", trace_kept, '
        + ", ".join(f"trace_positions[{16 * n}+:16]" for n in lanes)
        + ");"
    )
    bits = ACTIVITY.bits
    activities = "\n".join(
        f"      if (activity__{t} != seen[{bits * t}+:{bits}]) begin\n"
        f'        $fwrite(activity, "{t} %0d %0h\\n", cycle, activity__{t});\n'
        f"        seen[{bits * t}+:{bits}] <= activity__{t};\n"
        "      end"
        for t in range(config.tiles)
    )
    return f"""module sim_top (
{head}
);
{wires}
  {prefix} package_0 (
{pins}
  );

  integer trace, activity, first, last, cycle;
  reg [8*1024-1:0] trace_name, activity_name, wave_name;
  reg [{bits * config.tiles - 1}:0] seen;
  reg [{PHASE_BITS - 1}:0] phase_seen;
  reg waves;
  initial begin
    trace = 0;
    if ($value$plusargs("hayate_trace=%s", trace_name)) trace = $fopen(trace_name, "w");
    activity = 0;
    if ($value$plusargs("hayate_activity=%s", activity_name)) activity = $fopen(activity_name, "w");
    seen = 0;
    phase_seen = 0;
    waves = $value$plusargs("hayate_waves=%s", wave_name) != 0;
    if ($value$plusargs("hayate_wave_first=%d", first) == 0) first = 0;
    if ($value$plusargs("hayate_wave_last=%d", last) == 0) last = 2147483647;
    cycle = 0;
  end
  // Before reset a chip of silicon may show anything.
  always @(posedge clk) begin
    if (trace != 0 && !rst) begin
{monitors}
{verdict}
    end
    cycle <= cycle + 1;
    if (activity != 0 && !rst) begin
{activities}
      if (phase != phase_seen) $fwrite(activity, "p %0d %0h\\n", cycle, phase);
      if (trace_verdict) $fwrite(activity, "v %0d %0h\\n", cycle, trace_kept);
      phase_seen <= phase;
    end
  end
`ifdef HAYATE_WAVES
  always @(posedge clk) begin
    if (waves && cycle == first) begin
      $dumpfile(wave_name);
      $dumpvars(0, package_0);
    end
    if (waves && cycle == last) begin
`ifdef VERILATOR
      $c("vlSymsp->_traceDumpClose();");  // $dumpoff is ignored there
`else
      $dumpoff;
`endif
    end
  end
`endif
endmodule
"""
