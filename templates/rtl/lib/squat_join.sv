// Two streams of events as one: in every step those of `a`, then those of `b`, whose indices and values are moved and scaled.
//
// An index is FIRST more than it was, a value FACTOR times as much; an index may come several times in a step.
// Latency: a cycle; throughput: a beat a cycle, and a cycle more in which nothing comes where `a` ends without an event.
`default_nettype none

module squat_join #(
    parameter int INDEX_A = 1,
    parameter int INDEX_B = 1,
    parameter int FIRST_A = 0,
    parameter int FIRST_B = 0,
    parameter int VALUE_A = 1,
    parameter int VALUE_B = 1,
    parameter bit SIGNED_A = 1'b0,
    parameter bit SIGNED_B = 1'b0,
    parameter int FACTOR_A = 1,
    parameter int FACTOR_B = 1,
    parameter int INDEX = 1,        // bits of what comes out
    parameter int VALUE = 1,
    parameter int FLAGS = 2
) (
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic               a_valid,
    output      logic               a_ready,
    input  wire logic               a_end,
    input  wire logic [FLAGS-1:0]   a_flags,
    input  wire logic               a_keep,
    input  wire logic [INDEX_A-1:0] a_index,
    input  wire logic [VALUE_A-1:0] a_value,
    input  wire logic               b_valid,
    output      logic               b_ready,
    input  wire logic               b_end,
    input  wire logic [FLAGS-1:0]   b_flags,
    input  wire logic               b_keep,
    input  wire logic [INDEX_B-1:0] b_index,
    input  wire logic [VALUE_B-1:0] b_value,
    output      logic               out_valid,
    input  wire logic               out_ready,
    output      logic               out_end,
    output      logic [FLAGS-1:0]   out_flags,
    output      logic               out_keep,
    output      logic [INDEX-1:0]   out_index,
    output      logic [VALUE-1:0]   out_value
);
    logic turn = 1'b0;  // of `b`
    logic held = 1'b0;
    logic move;
    assign move = !held || out_ready;
    assign a_ready = move && !turn;
    assign b_ready = move && turn;
    assign out_valid = held;

    logic signed [VALUE:0] value_a, value_b;  // a bit more, so that what has no sign keeps its worth
    always_comb begin
        value_a = '0;
        value_b = '0;
        for (int i = 0; i <= VALUE; i++) begin
            value_a[i] = i < VALUE_A ? a_value[i < VALUE_A ? i : 0] : SIGNED_A && a_value[VALUE_A-1];
            value_b[i] = i < VALUE_B ? b_value[i < VALUE_B ? i : 0] : SIGNED_B && b_value[VALUE_B-1];
        end
    end

    // A constant factor: additions, which no tool takes for a multiplier.
    function automatic logic signed [VALUE:0] times(input int factor, input logic signed [VALUE:0] value);
        times = '0;
        for (int i = 0; i <= VALUE; i++) if (factor[i < 31 ? i : 31]) times += value <<< i;
    endfunction

    logic signed [VALUE:0] scaled;
    assign scaled = turn ? times(FACTOR_B, value_b) : times(FACTOR_A, value_a);
    wire unused = &{1'b0, scaled[VALUE], a_index, b_index};

    always_ff @(posedge clk) begin
        if (rst) begin
            turn <= 1'b0;
            held <= 1'b0;
        end else if (move) begin
            held <= turn ? b_valid : a_valid && !(a_end && !a_keep);
            if (turn ? b_valid && b_end : a_valid && a_end) turn <= !turn;
        end
        if (move) begin
            out_end <= turn && b_end;
            out_flags <= turn ? b_flags : a_flags;
            out_keep <= turn ? b_keep : a_keep;
            out_index <= turn ? INDEX'(b_index) + INDEX'(FIRST_B) : INDEX'(a_index) + INDEX'(FIRST_A);
            out_value <= scaled[VALUE-1:0];
        end
    end
endmodule

`default_nettype wire
