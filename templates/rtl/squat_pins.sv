// The core between three pins, for placement and routing: what comes in is shifted in, what goes out is folded into one
// bit, so that neither the number of pins of a device nor their places say how fast the core is.
`default_nettype none

module squat_pins (
    input  wire logic clk,
    input  wire logic pin_in,
    output      logic pin_out
);
    logic [67:0] given;
    always_ff @(posedge clk) given <= {given[66:0], pin_in};

    logic idle, ready, valid, last;
    logic [31:0] data;
    squat_core core (
        .clk, .rst(given[0]), .start(given[1]), .restart(given[2]), .steps(given[34:3]), .idle,
        .s_axis_tvalid(given[35]), .s_axis_tready(ready), .s_axis_tdata(given[67:36]), .m_axis_tvalid(valid),
        .m_axis_tready(given[0]), .m_axis_tdata(data), .m_axis_tlast(last)
    );
    logic [35:0] seen;
    always_ff @(posedge clk) begin
        seen <= {idle, ready, valid, last, data};
        pin_out <= ^seen;
    end
endmodule

`default_nettype wire
