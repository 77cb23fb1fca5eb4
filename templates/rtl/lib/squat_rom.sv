// A memory of constants, read in one cycle: block RAM, or LUTs where it is small.
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
    logic [WIDTH-1:0] words [DEPTH];
    initial $readmemh(FILE, words);

    always_ff @(posedge clk) word <= words[address];
endmodule

`default_nettype wire
