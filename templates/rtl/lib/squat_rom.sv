// A memory of constants, read in one cycle: block RAM from 4,096 bits on, below as the tool likes.
`default_nettype none

module squat_rom #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 2,
    parameter     FILE = ""
) (
    input  wire logic                     clk,
    input  wire logic [$clog2(DEPTH)-1:0] address,
    output      logic [WIDTH-1:0]         word
);
    if (WIDTH * DEPTH >= 4096) begin : g_block
        (* ram_style = "block", rom_style = "block" *) logic [WIDTH-1:0] words [DEPTH];
        initial $readmemh(FILE, words);
        always_ff @(posedge clk) word <= words[address];
    end else begin : g_any
        logic [WIDTH-1:0] words [DEPTH];
        initial $readmemh(FILE, words);
        always_ff @(posedge clk) word <= words[address];
    end
endmodule

`default_nettype wire
