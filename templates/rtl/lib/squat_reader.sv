// The input stream, cut into the words of each step. A call has `steps` steps; the first is marked where a sequence
// starts (flag 0), the last of the call as its end (flag 1). With ONCE, a sequence has one frame, which comes with its
// start; all other steps are empty words.
`default_nettype none

module squat_reader #(
    parameter int WORDS = 1,  // of a frame
    parameter int BITS = 32,  // of a word that hold numbers
    parameter bit ONCE = 1'b0
) (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        start,    // in a cycle in which `idle` is high; steps > 0
    input  wire logic        restart,
    input  wire logic [31:0] steps,
    output      logic        idle,
    input  wire logic        s_axis_tvalid,
    output      logic        s_axis_tready,
    input  wire logic [31:0] s_axis_tdata,
    output      logic        out_valid,
    input  wire logic        out_ready,
    output      logic [BITS-1:0] out_fields,
    output      logic        out_last,
    output      logic [1:0]  out_flags
);
    localparam int WORD = WORDS > 1 ? $clog2(WORDS) : 1;

    logic running = 1'b0;
    logic first;                // no step has ended yet
    logic starts;               // it starts a sequence
    logic begun = 1'b0;         // there was a call since the reset; the first one starts a sequence whatever it says
    logic [31:0] wanted;        // steps
    logic [31:0] number;        // of this step, from 1
    logic last_step;            // no other follows
    logic [WORD-1:0] word = '0;
    logic reads;                // this step takes a frame

    assign idle = !running;
    assign last_step = number == wanted;
    assign reads = !ONCE || (first && starts);
    assign out_valid = running && (!reads || s_axis_tvalid);
    assign s_axis_tready = running && reads && out_ready;
    assign out_fields = reads ? s_axis_tdata[BITS-1:0] : '0;
    wire unused = &{1'b0, s_axis_tdata};
    assign out_last = !reads || word == WORD'(WORDS - 1);
    assign out_flags = {last_step, first && starts};

    always_ff @(posedge clk) begin
        if (rst) begin
            running <= 1'b0;
            begun <= 1'b0;
            word <= '0;
        end else if (!running) begin
            running <= start;
            first <= 1'b1;
            starts <= restart || !begun;
            if (start) begun <= 1'b1;
            wanted <= steps;
            number <= 32'd1;
        end else if (out_valid && out_ready) begin
            word <= out_last ? '0 : word + 1'b1;
            if (out_last) begin
                first <= 1'b0;
                number <= number + 1'b1;
                running <= !last_step;
            end
        end
    end
endmodule

`default_nettype wire
