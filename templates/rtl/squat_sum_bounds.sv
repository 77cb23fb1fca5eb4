// Checks of what the plan promises, for simulation: they are bound to the core, and no part of it.
`default_nettype none

// Every sum of a neuron lies in LOW..HIGH: the range for which its tables were made.
module squat_sum_bounds #(
    parameter int PE = 1,
    parameter int GROUPS = 1,
    parameter int CHANNELS = 1,
    parameter int ROW = 1,
    parameter int SUM = 12,
    parameter int LOW = 0,
    parameter int HIGH = 0,
    parameter int READ = 1,  // cycles from where a row is asked for to its sums; with more than one, of those with `read`
    parameter     LAYER = ""
) (
    input wire logic              clk,
    input wire logic              rst,
    input wire logic              full,
    input wire logic              read,
    input wire logic [ROW-1:0]    row,
    input wire logic [PE*SUM-1:0] sums
);
    logic [READ-1:0] known = '0;  // a row of a full page was read: its sums come, and with the last bit they are there
    int group [READ];
    always_ff @(posedge clk) begin
        if (read || READ == 1) begin
            known <= READ'({known, full && read});
            group[0] <= int'(row) % GROUPS;
            for (int stage = 1; stage < READ; stage++) group[stage] <= group[stage-1];
        end
        if (rst) known <= '0;
        if (known[READ-1]) begin
            for (int lane = 0; lane < PE; lane++) begin
                if (group[READ-1] * PE + lane < CHANNELS) begin
                    assert (int'($signed(sums[lane*SUM+:SUM])) >= LOW && int'($signed(sums[lane*SUM+:SUM])) <= HIGH)
                    else $error("%s: sum %0d is not in %0d..%0d", LAYER, $signed(sums[lane*SUM+:SUM]), LOW, HIGH);
                end
            end
        end
    end
endmodule

`default_nettype wire
