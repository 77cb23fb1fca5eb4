// Checks of what the plan promises, for simulation: they are bound to the core, and no part of it.
`default_nettype none

// A step has at most MOST beats, so that queues of whole steps hold what they must.
module squat_stream_bounds #(
    parameter int MOST = 1,
    parameter     STREAM = ""
) (
    input wire logic clk,
    input wire logic rst,
    input wire logic valid,
    input wire logic ready,
    input wire logic ends
);
    int beats = 0;  // of this step, before this one
    always_ff @(posedge clk) begin
        if (rst) beats <= 0;
        else if (valid && ready) begin
            assert (beats < MOST) else $error("%s: more than %0d beats in a step", STREAM, MOST);
            beats <= ends ? 0 : beats + 1;
        end
    end
endmodule

`default_nettype wire
