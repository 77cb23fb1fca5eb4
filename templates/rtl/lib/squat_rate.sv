// Rate coding: rows of intensities, the same frame in every step, become rows of spikes.
//
// A number spikes where it is more than a random one: the top BITS of a linear feedback shift register, which advances
// BITS shifts a number, in their order, step after step, and starts at SEED in every sequence.
// Latency: a cycle; throughput: a row a cycle.
`default_nettype none

module squat_rate #(
    parameter int FIELDS = 4,
    parameter int BITS = 8,           // of an intensity
    parameter int REST = 4,           // numbers in the last row of a step
    parameter bit [31:0] SEED = 32'd1,
    parameter bit [31:0] TAPS = 32'h80200003,
    parameter int FLAGS = 2
) (
    input  wire logic                   clk,
    input  wire logic                   rst,
    input  wire logic                   in_valid,
    output      logic                   in_ready,
    input  wire logic                   in_last,
    input  wire logic [FLAGS-1:0]       in_flags,
    input  wire logic [FIELDS*BITS-1:0] in_fields,
    output      logic                   out_valid,
    input  wire logic                   out_ready,
    output      logic                   out_last,
    output      logic [FLAGS-1:0]       out_flags,
    output      logic [FIELDS-1:0]      out_fields
);
    function automatic logic [31:0] advanced(input logic [31:0] from);
        advanced = from;
        for (int shift = 0; shift < BITS; shift++) begin
            advanced = advanced[0] ? {1'b0, advanced[31:1]} ^ TAPS : {1'b0, advanced[31:1]};
        end
    endfunction

    logic [31:0] state;
    logic begins = 1'b1;  // the next row is the first of a step
    logic held = 1'b0;
    logic [31:0] next, next_step;  // behind a whole row, and behind the last of a step
    logic [FIELDS-1:0] above;

    assign in_ready = !held || out_ready;
    assign out_valid = held;
    always_comb begin
        next = begins && in_flags[0] ? SEED : state;
        next_step = next;
        above = '0;
        for (int f = 0; f < FIELDS; f++) begin
            next = advanced(next);
            above[f] = in_fields[f*BITS+:BITS] > next[31-:BITS] && (!in_last || f < REST);
            if (f < REST) next_step = next;
        end
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            begins <= 1'b1;
            held <= 1'b0;
        end else if (in_ready) begin
            held <= in_valid;
            if (in_valid) begins <= in_last;
        end
        if (in_ready) begin
            out_last <= in_last;
            out_flags <= in_flags;
            out_fields <= above;
            if (in_valid) state <= in_last ? next_step : next;
        end
    end
endmodule

`default_nettype wire
