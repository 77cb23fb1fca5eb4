// Names events anew: the index of every event is looked up in a table.
// Latency: a cycle; throughput: a beat a cycle.
`default_nettype none

module squat_recode #(
    parameter int ENTRIES = 2,  // indices that come
    parameter int INDEX = 1,    // bits of those, and of the new ones
    parameter int CODE = 1,
    parameter int VALUE = 1,
    parameter int FLAGS = 2,
    parameter     CODES = ""    // file of ENTRIES new indices
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
    output      logic [CODE-1:0]  out_index,
    output      logic [VALUE-1:0] out_value
);
    logic [CODE-1:0] codes [ENTRIES];
    initial $readmemh(CODES, codes);

    logic held = 1'b0;
    assign in_ready = !held || out_ready;
    assign out_valid = held;

    always_ff @(posedge clk) begin
        if (rst) held <= 1'b0;
        else if (in_ready) held <= in_valid;
        if (in_ready) begin
            out_end <= in_end;
            out_flags <= in_flags;
            out_keep <= in_keep;
            out_index <= codes[in_index];
            out_value <= in_value;
        end
    end
endmodule

`default_nettype wire
