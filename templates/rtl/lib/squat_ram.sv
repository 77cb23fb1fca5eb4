// A memory of DEPTH words, one port to write and one to read, which gives its word in the next cycle and keeps it until
// the next is read: block RAM, or LUTs where it is small.
// Whoever reads a word in the cycle in which it is written must not look at what comes.
`default_nettype none

module squat_ram #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 2,
    localparam int ADDRESS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire logic               clk,
    input  wire logic               write,
    input  wire logic [ADDRESS-1:0] write_at,
    input  wire logic [WIDTH-1:0]   written,
    input  wire logic               read,
    input  wire logic [ADDRESS-1:0] read_at,
    output      logic [WIDTH-1:0]   word
);
    (* no_rw_check *) logic [WIDTH-1:0] words [DEPTH];

    always_ff @(posedge clk) begin
        if (write) words[write_at] <= written;
        if (read) word <= words[read_at];
    end
endmodule

`default_nettype wire
