// A page of sums as rows, one a cycle; lanes without a channel are zero.
//
// With HELD, the page is the same over a sequence: it is given in its first step, all others are one row of zeros.
// Latency: a cycle; throughput: a row a cycle, no gap between steps.
`default_nettype none

module squat_unload #(
    parameter int PE = 1,
    parameter int GROUPS = 1,     // rows of a position
    parameter int POSITIONS = 1,
    parameter int CHANNELS = 1,
    parameter int SUM = 8,
    parameter bit HELD = 1'b0,
    parameter int FLAGS = 2
) (
    input  wire logic              clk,
    input  wire logic              rst,
    input  wire logic              in_full,
    input  wire logic [FLAGS-1:0]  in_flags,
    output      logic [ROW-1:0]    in_row,
    output      logic              in_read,
    input  wire logic [PE*SUM-1:0] in_sums,
    output      logic              in_done,
    output      logic              out_valid,
    input  wire logic              out_ready,
    output      logic              out_last,
    output      logic [FLAGS-1:0]  out_flags,
    output      logic [PE*SUM-1:0] out_fields
);
    localparam int ROWS = GROUPS * POSITIONS;
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int GROUP = GROUPS > 1 ? $clog2(GROUPS) : 1;

    logic [ROW-1:0] row = '0;
    logic [GROUP-1:0] group = '0;
    logic [GROUP-1:0] shown;     // group of what has been read
    logic held = 1'b0;
    logic blank, empty, issue, ended;

    assign empty = HELD && !in_flags[0];
    assign issue = in_full && (!held || out_ready);
    assign ended = issue && (empty || row == ROW'(ROWS - 1));
    assign in_row = row;
    assign in_read = issue;
    assign in_done = ended;
    assign out_valid = held;

    always_ff @(posedge clk) begin
        if (rst) begin
            row <= '0;
            group <= '0;
            held <= 1'b0;
        end else begin
            if (issue) begin
                row <= ended ? '0 : row + 1'b1;
                group <= ended || group == GROUP'(GROUPS - 1) ? '0 : group + 1'b1;
            end
            held <= issue || (held && !out_ready);
        end
        if (issue) begin
            shown <= group;
            blank <= empty;
            out_last <= ended;
            out_flags <= in_flags;
        end
    end

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        assign out_fields[lane*SUM+:SUM] = !blank && 32'(shown) * PE + lane < CHANNELS ? in_sums[lane*SUM+:SUM] : '0;
    end
endmodule

`default_nettype wire
