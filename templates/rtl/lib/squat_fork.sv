// One stream for several takers: a beat goes to all of them at once, when all are ready.
//
// Takers of TICKS get the last beats of steps alone. No taker's `ready` may depend on its `valid`.
// Latency: none; throughput: a beat a cycle.
`default_nettype none

module squat_fork #(
    parameter int LEGS = 2,
    parameter bit [LEGS-1:0] TICKS = '0
) (
    input  wire logic            clk,
    input  wire logic            rst,
    input  wire logic            in_valid,
    output      logic            in_ready,
    input  wire logic            in_last,
    output      logic [LEGS-1:0] out_valid,
    input  wire logic [LEGS-1:0] out_ready
);
    logic [LEGS-1:0] wanted;
    assign wanted = in_last ? '1 : ~TICKS;
    assign in_ready = (out_ready | ~wanted) == '1;
    assign out_valid = in_valid && in_ready ? wanted : '0;
    wire unused = &{1'b0, clk, rst};
endmodule

`default_nettype wire
