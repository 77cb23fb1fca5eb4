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
    parameter     LAYER = ""
) (
    input wire logic              clk,
    input wire logic              rst,
    input wire logic              full,
    input wire logic              read,
    input wire logic [ROW-1:0]    row,
    input wire logic [PE*SUM-1:0] sums  // of the row that was read last
);
    logic known = 1'b0;  // a row of a full page was read in the cycle before
    int group;
    always_ff @(posedge clk) begin
        known <= !rst && full && read;
        group <= int'(row) % GROUPS;
        if (known) begin
            for (int lane = 0; lane < PE; lane++) begin
                if (group * PE + lane < CHANNELS) begin
                    assert (int'($signed(sums[lane*SUM+:SUM])) >= LOW && int'($signed(sums[lane*SUM+:SUM])) <= HIGH)
                    else $error("%s: sum %0d is not in %0d..%0d", LAYER, $signed(sums[lane*SUM+:SUM]), LOW, HIGH);
                end
            end
        end
    end
endmodule

`default_nettype wire
