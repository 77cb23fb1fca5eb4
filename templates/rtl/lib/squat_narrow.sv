// Rows of FIELDS numbers as rows of fewer: PARTS beats for one, the lowest numbers first.
// A row must stay until it is taken. Latency: none; throughput: a beat a cycle.
`default_nettype none

module squat_narrow #(
    parameter int FIELDS = 32,
    parameter int VALUE = 1,
    parameter int PARTS = 2,   // divides FIELDS
    parameter int FLAGS = 2
) (
    input  wire logic                          clk,
    input  wire logic                          rst,
    input  wire logic                          in_valid,
    output      logic                          in_ready,
    input  wire logic                          in_last,
    input  wire logic [FLAGS-1:0]              in_flags,
    input  wire logic [FIELDS*VALUE-1:0]       in_fields,
    output      logic                          out_valid,
    input  wire logic                          out_ready,
    output      logic                          out_last,
    output      logic [FLAGS-1:0]              out_flags,
    output      logic [FIELDS*VALUE/PARTS-1:0] out_fields
);
    localparam int BITS = FIELDS * VALUE / PARTS;
    localparam int PART = $clog2(PARTS);

    logic [PART-1:0] part = '0;
    logic [BITS-1:0] parts [PARTS];
    logic ends;
    for (genvar p = 0; p < PARTS; p++) begin : g_part
        assign parts[p] = in_fields[p*BITS+:BITS];
    end

    assign ends = part == PART'(PARTS - 1);
    assign in_ready = out_ready && ends;
    assign out_valid = in_valid;
    assign out_last = in_last && ends;
    assign out_flags = in_flags;
    assign out_fields = parts[part];

    always_ff @(posedge clk) begin
        if (rst) part <= '0;
        else if (in_valid && out_ready) part <= ends ? '0 : part + 1'b1;
    end
endmodule

`default_nettype wire
