// Pooling of events: every event becomes one of each window that it lies in, by the walk of `squat_walk`.
// Whoever takes them adds them up, or drops all but the first (`squat_first`).
// Latency: 2 cycles; throughput: an event a cycle.
`default_nettype none

module squat_windows #(
    parameter int CHANNELS = 1,
    parameter int HEIGHT = 1,
    parameter int WIDTH = 1,
    parameter int VALUE = 1,    // bits of an event's number
    parameter int TAPS = 1,     // bits of a number of windows along an axis
    parameter int GIVEN = 1,    // bits of the index of a window
    parameter int RIGHT = 1,    // from one to the next along x
    parameter int DOWN = 1,
    parameter int FLAGS = 2,
    parameter     CHANNEL = "",  // files of the tables: the index of each channel,
    parameter     LINE = "",     // {windows, index} of each y
    parameter     COLUMN = "",   // and of each x
    localparam int BITS = $clog2(CHANNELS) + $clog2(HEIGHT) + $clog2(WIDTH),
    localparam int INDEX = BITS > 0 ? BITS : 1
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             in_valid,
    output      logic             in_ready,
    input  wire logic             in_end,
    input  wire logic [FLAGS-1:0] in_flags,
    input  wire logic             in_keep,
    input  wire logic [INDEX-1:0] in_index,
    input  wire logic [VALUE-1:0] in_value,
    output      logic             out_valid,
    input  wire logic             out_ready,
    output      logic             out_end,
    output      logic [FLAGS-1:0] out_flags,
    output      logic             out_keep,
    output      logic [GIVEN-1:0] out_index,
    output      logic [VALUE-1:0] out_value
);
    logic none;
    squat_walk #(
        .CHANNELS(CHANNELS), .HEIGHT(HEIGHT), .WIDTH(WIDTH), .VALUE(VALUE), .TAPS(TAPS), .WORD(1), .PLACE(GIVEN),
        .PLACE_RIGHT(RIGHT), .PLACE_DOWN(DOWN), .FLAGS(FLAGS), .CHANNEL(CHANNEL), .LINE(LINE), .COLUMN(COLUMN)
    ) walk (
        .clk, .rst, .in_valid, .in_ready, .in_end, .in_flags, .in_keep, .in_index, .in_value, .out_valid, .out_ready,
        .out_end, .out_flags, .out_keep, .out_word(none), .out_place(out_index), .out_value
    );
    wire unused = &{1'b0, none};
endmodule

`default_nettype wire
