// Checks of what the plan promises, for simulation: they are bound to the core, and no part of it.
`default_nettype none

// Every sum of a neuron lies in LOW..HIGH: the range for which its tables were made. The testbench is told each of them.
module squat_sum_bounds #(
    parameter int PE = 1,
    parameter int GROUPS = 1,
    parameter int CHANNELS = 1,
    parameter int ROW = 1,
    parameter int SUM = 12,
    parameter int LOW = 0,
    parameter int HIGH = 0,
    parameter     LAYER = "",
    parameter int AT = 0        // place of the layer among those of the testbench
) (
    input wire logic              clk,
    input wire logic              rst,
    input wire logic              full,
    input wire logic              read,
    input wire logic [ROW-1:0]    row,
    input wire logic [PE*SUM-1:0] sums  // of the row that was read last
);
    import "DPI-C" function void squat_sum(input int layer, input int row, input int lane, input longint sum);

    logic known = 1'b0;  // a row of a full page was read in the cycle before
    int group, at_row;
    always_ff @(posedge clk) begin
        known <= !rst && full && read;
        group <= int'(row) % GROUPS;
        at_row <= int'(row);
        if (known) begin
            for (int lane = 0; lane < PE; lane++) begin
                if (group * PE + lane < CHANNELS) begin
                    squat_sum(AT, at_row, lane, longint'($signed(sums[lane*SUM+:SUM])));
                    assert (int'($signed(sums[lane*SUM+:SUM])) >= LOW && int'($signed(sums[lane*SUM+:SUM])) <= HIGH)
                    else $error("%s: sum %0d is not in %0d..%0d", LAYER, $signed(sums[lane*SUM+:SUM]), LOW, HIGH);
                end
            end
        end
    end
endmodule

`default_nettype wire
