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
    parameter int READ = 1,     // cycles of reading; with more than one, of those with `read`
    parameter     LAYER = "",
    parameter int AT = 0        // place of the layer among those of the testbench
) (
    input wire logic              clk,
    input wire logic              rst,
    input wire logic              full,
    input wire logic              read,
    input wire logic [ROW-1:0]    row,
    input wire logic              done,
    input wire logic [PE*SUM-1:0] sums  // of the row that was read last, or READ cycles before
);
    import "DPI-C" function void squat_sum(input int layer, input int row, input int lane, input longint sum);

    task automatic check(input int at);
        for (int lane = 0; lane < PE; lane++) begin
            if (at % GROUPS * PE + lane < CHANNELS) begin
                squat_sum(AT, at, lane, longint'($signed(sums[lane*SUM+:SUM])));
                assert (int'($signed(sums[lane*SUM+:SUM])) >= LOW && int'($signed(sums[lane*SUM+:SUM])) <= HIGH)
                else $error("%s: sum %0d is not in %0d..%0d", LAYER, $signed(sums[lane*SUM+:SUM]), LOW, HIGH);
            end
        end
    endtask

    // The reads before this cycle. Where reading takes longer, a row may be read in vain: the last read of a row counts.
    logic [READ-1:0] known = '0;  // of a full page
    logic [READ-1:0] dones;
    int rows [READ];
    always_ff @(posedge clk) begin
        if (READ == 1 ? known[0] : read && known[READ-1] && (dones[READ-1] || rows[READ-1] != rows[READ>1?READ-2:0])) begin
            check(rows[READ-1]);
        end
        if (read || READ == 1) begin
            known <= READ'({known, full && read});
            dones <= READ'({dones, done});
            rows[0] <= int'(row);
            for (int stage = 1; stage < READ; stage++) rows[stage] <= rows[stage-1];
        end
        if (rst) known <= '0;
    end
endmodule

`default_nettype wire
