// How many of a table's entries a key reaches, by a binary search, a comparison a cycle.
//
// Every comparison has a memory of its own, so that large tables may lie in block RAM. A word is read two cycles before it is
// compared, with all entries that may be met by then, up to four, of which the two comparisons before choose one.
// Latency: LEVEL cycles, and one that `owner` comes before its `key`; a new key in every cycle while `move` is high.
`default_nettype none

module squat_search #(
    parameter int LEVEL = 2,  // bits of what is found
    parameter int KEY = 12,   // bits of a key, signed
    parameter int OWNERS = 1, // tables, chosen by `owner`
    parameter int OWNER = 1,  // bits of that
    parameter     TABLE = ""  // files TABLE + "_0.hex" to "_9.hex", "_a.hex" and so on, one a comparison, lower entries lower
) (
    input  wire logic                  clk,
    input  wire logic                  move,
    input  wire logic [OWNER-1:0]      owner,  // of the key that comes with the next move
    input  wire logic signed [KEY-1:0] key,
    output      logic [LEVEL-1:0]      found
);
    logic signed [KEY-1:0] firsts [OWNERS];
    initial $readmemh({TABLE, "_0.hex"}, firsts);

    logic signed [KEY-1:0] keys [LEVEL + 1];
    logic signed [KEY-1:0] entries [LEVEL];  // that keys are compared with
    logic [LEVEL-1:0] at [LEVEL + 1];        // bits that are found, the highest first
    logic [OWNER-1:0] owners [LEVEL + 1];
    logic signed [KEY-1:0] first;
    assign keys[0] = key;
    assign at[0] = '0;
    assign entries[0] = first;
    assign found = at[LEVEL];
    wire unused = &{1'b0, keys[LEVEL], owners[LEVEL]};
    always_ff @(posedge clk) if (move) begin
        first <= firsts[owner];
        owners[0] <= owner;
    end

    for (genvar c = 0; c < LEVEL; c++) begin : g_comparison
        logic above;
        assign above = entries[c] <= keys[c];
        always_ff @(posedge clk) if (move) begin
            keys[c+1] <= keys[c];
            at[c+1] <= LEVEL'({at[c], above});
            owners[c+1] <= owners[c];
        end
        if (c + 1 < LEVEL) begin : g_next
            logic [2*KEY-1:0] pair;
            if (c == 0) begin : g_second
                logic [2*KEY-1:0] pairs [OWNERS];
                logic [2*KEY-1:0] read;
                initial $readmemh({TABLE, "_1.hex"}, pairs);
                always_ff @(posedge clk) if (move) begin
                    read <= pairs[owner];
                    pair <= read;
                end
            end else begin : g_later
                logic [4*KEY-1:0] fours [OWNERS << (c - 1)];
                logic [4*KEY-1:0] read;
                initial $readmemh({TABLE, "_", 8'(c < 9 ? 49 + c : 88 + c), ".hex"}, fours);
                always_ff @(posedge clk) if (move) begin
                    read <= fours[(int'(owners[c-1]) << (c - 1)) | int'(at[c-1])];
                    pair <= at[c][0] ? read[2*KEY+:2*KEY] : read[0+:2*KEY];
                end
            end
            assign entries[c+1] = at[c+1][0] ? pair[KEY+:KEY] : pair[0+:KEY];
        end
    end
endmodule

`default_nettype wire
