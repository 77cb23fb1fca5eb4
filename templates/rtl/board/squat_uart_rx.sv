// Bytes of a serial line: one start bit, eight bits (the lowest first), one stop bit, DIVIDER cycles each.
//
// `out_valid` is high for one cycle a byte, in the middle of its stop bit. `broken` is high for one cycle where the line
// stays low for all of a byte and its stop bit: a break, by which a host asks for a reset.
`default_nettype none

module squat_uart_rx #(
    parameter int DIVIDER = 25  // cycles a bit, at least 4
) (
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic       line,       // asynchronous, high while idle
    output      logic       out_valid,
    output      logic [7:0] out_byte,
    output      logic       broken
);
    localparam int COUNT = $clog2(DIVIDER + 1);

    logic [1:0] synced = 2'b11;  // two registers: the line belongs to another clock
    logic running = 1'b0;
    logic waiting = 1'b0;        // for the end of a break
    logic [COUNT-1:0] left;      // cycles until the next sample
    logic [3:0] bit_number;      // 0: the start bit
    logic [7:0] bits;
    logic sample;

    assign sample = running && left == '0;

    always_ff @(posedge clk) begin
        synced <= {synced[0], line};
        out_valid <= 1'b0;
        broken <= 1'b0;
        if (waiting) begin  // through a reset too, which the break itself may have asked for
            running <= 1'b0;
            waiting <= !synced[1];
        end else if (rst) begin
            running <= 1'b0;
        end else if (!running) begin
            running <= !synced[1];
            left <= COUNT'(DIVIDER / 2);
            bit_number <= '0;
        end else if (!sample) begin
            left <= left - 1'b1;
        end else begin
            left <= COUNT'(DIVIDER - 1);
            bit_number <= bit_number + 1'b1;
            bits <= {synced[1], bits[7:1]};
            if (bit_number == 4'd0 && synced[1]) running <= 1'b0;  // a glitch, no start bit
            if (bit_number == 4'd9) begin
                running <= 1'b0;
                out_valid <= synced[1];
                out_byte <= bits;
                broken <= !synced[1] && bits == '0;
                waiting <= !synced[1];
            end
        end
    end
endmodule

`default_nettype wire
