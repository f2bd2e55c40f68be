// Bank macro: a single-port synchronous memory with an output register. Replace this module by an SRAM or DRAM macro on silicon.
//
//   en && !we in cycle t   rdata holds mem[addr] from cycle t + 2 on, until the next read's data takes its place
//   en && we  in cycle t   mem[addr] holds wdata from cycle t + 1 on; a write leaves rdata alone
//
// There is no reset. DEPTH words of WIDTH bits; addresses from DEPTH on are outside the contract.
//
// In simulation memory starts as zeros, which is a valid SECDED codeword; with SYNTHESIS defined, this is a plain memory. And with
// +hayate_banks=DIR, each instance loads DIR/tile<T>_bank<B>.hex ($readmemh, one codeword a line, '@' addresses allowed) at time zero.
// T and B are the numbers of the last "tile_<T>" and "bank_<B>" in the instance's path, 0 where there is none; a file that cannot be
// opened ends the simulation. The path is what tells banks of identical tile modules apart.
module hayate_bank_macro #(
    parameter DEPTH = 1024,
    parameter WIDTH = 72,
    parameter ADDR = 10
) (
    input wire clk,
    input wire en,
    input wire we,
    input wire [ADDR-1:0] addr,
    input wire [WIDTH-1:0] wdata,
    output reg [WIDTH-1:0] rdata
);
    (* ram_style = "block" *) reg [WIDTH-1:0] mem[0:DEPTH-1];
    reg [WIDTH-1:0] array_out;

    always @(posedge clk) begin
        if (en) begin
            if (we) mem[addr] <= wdata;
            else array_out <= mem[addr];
        end
        rdata <= array_out;
    end

`ifndef SYNTHESIS
    reg [8*1024-1:0] directory;
    reg [8*1024-1:0] path;
    reg [8*1200-1:0] stem;  // the file's name but for its ending, which makes a string of it where a vector is none
    integer i, at, tile, bank, state, number, descriptor;
    reg [7:0] c;

    initial begin
        for (i = 0; i < DEPTH; i = i + 1) mem[i] = {WIDTH{1'b0}};
        array_out = {WIDTH{1'b0}};
        rdata = {WIDTH{1'b0}};
        if ($value$plusargs("hayate_banks=%s", directory)) begin
            $sformat(path, "%m");
            tile = 0;
            bank = 0;
            number = 0;
            // state: 0 nothing, 1 after "tile_", 2 after "bank_", 3 and 4 while their digits last
            state = 0;
            for (at = 1023; at >= 0; at = at - 1) begin
                c = path[8*at+:8];
                if (state != 0 && c >= "0" && c <= "9") begin
                    number = (state > 2 ? 10 * number : 0) + ({24'd0, c} - "0");
                    if (state < 3) state = state + 2;
                    if (state == 3) tile = number;
                    else bank = number;
                end else state = 0;
                if (c == "_" && at <= 1019) begin
                    if (path[8*(at+1)+:32] == "tile") state = 1;
                    if (path[8*(at+1)+:32] == "bank") state = 2;
                end
            end
            $sformat(stem, "%0s/tile%0d_bank%0d", directory, tile, bank);
            descriptor = $fopen({stem, ".hex"}, "r");
            if (descriptor == 0) begin
                $display("hayate_bank_macro: cannot open %0s.hex (instance %m)", stem);
                $fatal;
            end
            $fclose(descriptor);
            $readmemh({stem, ".hex"}, mem);
        end
    end
`endif
endmodule
