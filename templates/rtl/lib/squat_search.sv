// How many of a table's entries a key reaches, by a binary search, a comparison a cycle.
// Tables are padded to 2**LEVEL - 1 entries with more than any key.
// Latency: LEVEL cycles; a new key in every cycle while `move` is high.
`default_nettype none

module squat_search #(
    parameter int LEVEL = 2,  // bits of what is found
    parameter int KEY = 12,   // bits of a key, signed
    parameter int OWNERS = 1, // tables, chosen by `owner`
    parameter int OWNER = 1,  // bits of that
    parameter     TABLE = ""
) (
    input  wire logic                  clk,
    input  wire logic                  move,
    input  wire logic [OWNER-1:0]      owner,
    input  wire logic signed [KEY-1:0] key,
    output      logic [LEVEL-1:0]      found
);
    localparam int ENTRIES = (1 << LEVEL) - 1;

    logic signed [KEY-1:0] searched [OWNERS*ENTRIES];
    initial $readmemh(TABLE, searched);

    logic signed [KEY-1:0] keys [LEVEL + 1];
    logic [LEVEL-1:0] at [LEVEL + 1];
    logic [OWNER-1:0] owners [LEVEL + 1];
    assign keys[0] = key;
    assign at[0] = '0;
    assign owners[0] = owner;
    assign found = at[LEVEL];
    wire unused = &{1'b0, keys[LEVEL], owners[LEVEL]};

    for (genvar bit_ = 0; bit_ < LEVEL; bit_++) begin : g_bit
        localparam int HALF = 1 << (LEVEL - 1 - bit_);
        logic above;
        assign above = searched[int'(owners[bit_]) * ENTRIES + int'(at[bit_]) + HALF - 1] <= keys[bit_];
        always_ff @(posedge clk) if (move) begin
            keys[bit_+1] <= keys[bit_];
            at[bit_+1] <= above ? at[bit_] + LEVEL'(HALF) : at[bit_];
            owners[bit_+1] <= owners[bit_];
        end
    end
endmodule

`default_nettype wire
