// Events under other indices, by a table: TABLE[index].
// Latency: 1 cycle; throughput: a beat a cycle.
`default_nettype none

module squat_recode #(
    parameter int ENTRIES = 2,  // indices that come
    parameter int GIVEN = 1,    // bits of those that go
    parameter int VALUE = 1,    // bits of an event's number
    parameter int FLAGS = 2,
    parameter     TABLE = "",
    localparam int INDEX = ENTRIES > 1 ? $clog2(ENTRIES) : 1
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             in_valid,
    output      logic             in_ready,
    input  wire logic             in_end,
    input  wire logic [FLAGS-1:0] in_flags,
    input  wire logic             in_keep,
    input  wire logic [INDEX-1:0] in_index,
    input  wire logic [VALUE-1:0] in_value,
    output      logic             out_valid,
    input  wire logic             out_ready,
    output      logic             out_end,
    output      logic [FLAGS-1:0] out_flags,
    output      logic             out_keep,
    output      logic [GIVEN-1:0] out_index,
    output      logic [VALUE-1:0] out_value
);
    logic [GIVEN-1:0] codes [ENTRIES > 1 ? ENTRIES : 2];
    initial $readmemh(TABLE, codes);

    assign in_ready = !out_valid || out_ready;
    always_ff @(posedge clk) begin
        if (in_ready) begin
            out_end <= in_end;
            out_flags <= in_flags;
            out_keep <= in_keep;
            out_index <= codes[in_index];
            out_value <= in_value;
        end
        if (rst) out_valid <= 1'b0;
        else if (in_ready) out_valid <= in_valid;
    end
    initial out_valid = 1'b0;
endmodule

`default_nettype wire
