// How many of a table's entries a key reaches, by a binary search, a comparison a cycle.
// Tables are padded to 2**LEVEL entries with more than any key. Beside a comparison both entries are looked up that may be
// compared next, so that the one follows the other from a register.
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
    logic signed [KEY-1:0] searched [OWNERS << LEVEL];
    initial $readmemh(TABLE, searched);

    logic signed [KEY-1:0] keys [LEVEL + 1];
    logic signed [KEY-1:0] entries [LEVEL];  // that keys are compared with
    logic [LEVEL-1:0] at [LEVEL + 1];
    logic [OWNER-1:0] owners [LEVEL + 1];
    assign keys[0] = key;
    assign entries[0] = searched[(int'(owner) << LEVEL) | ((1 << (LEVEL - 1)) - 1)];
    assign at[0] = '0;
    assign owners[0] = owner;
    assign found = at[LEVEL];
    wire unused = &{1'b0, keys[LEVEL], owners[LEVEL]};

    for (genvar bit_ = 0; bit_ < LEVEL; bit_++) begin : g_bit
        localparam int HALF = 1 << (LEVEL - 1 - bit_);
        logic above;
        assign above = entries[bit_] <= keys[bit_];
        always_ff @(posedge clk) if (move) begin
            keys[bit_+1] <= keys[bit_];
            at[bit_+1] <= above ? at[bit_] | LEVEL'(HALF) : at[bit_];
            owners[bit_+1] <= owners[bit_];
        end
        if (HALF > 1) begin : g_next
            logic signed [KEY-1:0] lower, upper;
            assign lower = searched[(int'(owners[bit_]) << LEVEL) | int'(at[bit_]) | (HALF / 2 - 1)];
            assign upper = searched[(int'(owners[bit_]) << LEVEL) | int'(at[bit_]) | HALF | (HALF / 2 - 1)];
            always_ff @(posedge clk) if (move) entries[bit_+1] <= above ? upper : lower;
        end
    end
endmodule

`default_nettype wire
