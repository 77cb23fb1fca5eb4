// The first visit of every window in a step, as an event: the maximum of a window of spikes. All others are dropped.
//
// A window that was visited bears the number of the step, its stamp; after 2**STAMP - 1 steps all stamps are cleared,
// which takes WINDOWS cycles, as it does after a reset.
// The last beat of a step says so (`out_end`), and may be without an event (`out_keep`).
// Latency: 2 cycles; throughput: a visit a cycle.
`default_nettype none

module squat_first #(
    parameter int WINDOWS = 2,  // one more than the highest index
    parameter int STAMP = 6,
    parameter int FLAGS = 2,
    localparam int INDEX = WINDOWS > 1 ? $clog2(WINDOWS) : 1
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             in_valid,
    output      logic             in_ready,
    input  wire logic             in_end,
    input  wire logic [FLAGS-1:0] in_flags,
    input  wire logic             in_keep,
    input  wire logic [INDEX-1:0] in_index,
    input  wire logic             in_value,  // always 1
    output      logic             out_valid = 1'b0,
    input  wire logic             out_ready,
    output      logic             out_end,
    output      logic [FLAGS-1:0] out_flags,
    output      logic             out_keep,
    output      logic [INDEX-1:0] out_index,
    output      logic             out_value
);
    logic clearing = 1'b1;
    logic [INDEX-1:0] cleared = '0;
    logic [STAMP-1:0] stamp = STAMP'(1);  // of this step, never 0

    logic s_valid = 1'b0;
    logic s_keep, s_end, s_same, seen, move;
    logic [FLAGS-1:0] s_flags;
    logic [INDEX-1:0] s_index;
    logic [STAMP-1:0] mark;

    // The first visit of a step waits until the last one of the step before has been marked: it has another stamp.
    assign move = !out_valid || out_ready;
    assign in_ready = move && !clearing && !(s_valid && s_end);
    assign out_value = 1'b1;
    wire unused = &{1'b0, in_value};
    assign seen = s_same || mark == stamp;

    squat_ram #(.WIDTH(STAMP), .DEPTH(WINDOWS)) marks (
        .clk,
        .write(clearing || (move && s_valid && s_keep)),
        .write_at(clearing ? cleared : s_index),
        .written(clearing ? '0 : stamp),
        .read(in_ready),
        .read_at(in_index),
        .word(mark)
    );

    always_ff @(posedge clk) begin
        if (move) begin
            s_keep <= in_keep;
            s_end <= in_end;
            s_flags <= in_flags;
            s_index <= in_index;
            s_same <= s_valid && s_keep && s_index == in_index;  // it is being marked
            out_keep <= s_keep && !seen;
            out_end <= s_end;
            out_flags <= s_flags;
            out_index <= s_index;
        end
        if (rst) begin
            s_valid <= 1'b0;
            out_valid <= 1'b0;
            stamp <= STAMP'(1);
            clearing <= 1'b1;
            cleared <= '0;
        end else begin
            if (move) begin
                s_valid <= in_valid && in_ready;
                out_valid <= s_valid && (s_end || (s_keep && !seen));
                if (s_valid && s_end) begin
                    stamp <= &stamp ? STAMP'(1) : stamp + 1'b1;
                    clearing <= &stamp;
                end
            end
            if (clearing) begin
                cleared <= cleared == INDEX'(WINDOWS - 1) ? '0 : cleared + 1'b1;
                clearing <= cleared != INDEX'(WINDOWS - 1);
            end
        end
    end
endmodule

`default_nettype wire
