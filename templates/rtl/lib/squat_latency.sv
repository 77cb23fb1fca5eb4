// Latency coding: rows of intensities, the same frame in every step, become rows of spikes: each number spikes once, in
// the step that a table says for its intensity; 0 never does.
// Latency: a cycle; throughput: a row a cycle.
`default_nettype none

module squat_latency #(
    parameter int FIELDS = 4,
    parameter int BITS = 8,   // of an intensity
    parameter int STEP = 4,   // bits of the number of a step; one is left that comes never
    parameter int FLAGS = 2,
    parameter     TIMES = ""  // file of 2**BITS numbers of steps
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
    logic [STEP-1:0] times [1 << BITS];
    initial $readmemh(TIMES, times);

    logic [STEP-1:0] step, now;
    logic held = 1'b0;
    logic [FIELDS-1:0] due;

    assign in_ready = !held || out_ready;
    assign out_valid = held;
    assign now = in_flags[0] ? '0 : step;
    for (genvar f = 0; f < FIELDS; f++) begin : g_field
        assign due[f] = in_fields[f*BITS+:BITS] != '0 && times[in_fields[f*BITS+:BITS]] == now;
    end

    always_ff @(posedge clk) begin
        if (rst) held <= 1'b0;
        else if (in_ready) held <= in_valid;
        if (in_ready) begin
            out_last <= in_last;
            out_flags <= in_flags;
            out_fields <= due;
            if (in_valid && in_last && now != '1) step <= now + 1'b1;
        end
    end
endmodule

`default_nettype wire
