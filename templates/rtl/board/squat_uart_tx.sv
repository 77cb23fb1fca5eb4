// Bytes onto a serial line: one start bit, eight bits (the lowest first), one stop bit, DIVIDER cycles each.
//
// Throughput: a byte in 10 * DIVIDER cycles.
`default_nettype none

module squat_uart_tx #(
    parameter int DIVIDER = 25  // cycles a bit
) (
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic       in_valid,
    output      logic       in_ready,
    input  wire logic [7:0] in_byte,
    output      logic       line  // high while idle
);
    localparam int COUNT = $clog2(DIVIDER);

    logic [9:0] bits = '1;      // the lowest is on the line
    logic [3:0] unsent = '0;    // bits that are left, that on the line included
    logic [COUNT-1:0] left = '0;

    assign in_ready = unsent == '0;
    assign line = bits[0];

    always_ff @(posedge clk) begin
        if (rst) begin
            bits <= '1;
            unsent <= '0;
        end else if (in_ready) begin
            left <= COUNT'(DIVIDER - 1);
            if (in_valid) begin
                bits <= {1'b1, in_byte, 1'b0};
                unsent <= 4'd10;
            end
        end else if (left != '0) begin
            left <= left - 1'b1;
        end else begin
            left <= COUNT'(DIVIDER - 1);
            bits <= {1'b1, bits[9:1]};
            unsent <= unsent - 1'b1;
        end
    end
endmodule

`default_nettype wire
