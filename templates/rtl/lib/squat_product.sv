// A weight times an event's number, as wide as a sum: a shifted weight for each bit of the number, so that no
// multiplier is wanted. Combinational.
`default_nettype none

module squat_product #(
    parameter int WEIGHT = 4,            // bits of a weight's code
    parameter bit BIPOLAR = 1'b0,        // codes are of -1 (0) and +1 (1), else two's complement
    parameter int VALUE = 1,             // bits of the number; an unsigned one of a bit is a spike
    parameter bit VALUE_SIGNED = 1'b0,
    parameter int SUM = 12
) (
    input  wire logic [WEIGHT-1:0]     code,
    input  wire logic [VALUE-1:0]      number,
    output      logic signed [SUM-1:0] product
);
    localparam int WHOLE = WEIGHT + VALUE + 1;  // bits of any product

    logic signed [WEIGHT:0] weight;
    if (BIPOLAR) begin : g_bipolar
        assign weight = code[0] ? (WEIGHT + 1)'(1) : -((WEIGHT + 1)'(1));
    end else begin : g_signed
        assign weight = {code[WEIGHT-1], code};
    end

    logic signed [WHOLE-1:0] whole;
    if (VALUE == 1 && !VALUE_SIGNED) begin : g_spike
        assign whole = WHOLE'(weight);
    end else begin : g_number
        logic signed [VALUE:0] value;
        assign value = {VALUE_SIGNED && number[VALUE-1], number};
        always_comb begin
            whole = '0;
            for (int b = 0; b < VALUE; b++) if (value[b]) whole += WHOLE'(weight) <<< b;
            if (value[VALUE]) whole -= WHOLE'(weight) <<< VALUE;
        end
    end
    assign product = SUM'(whole);
    wire unused = &{1'b0, code, number, whole};
endmodule

`default_nettype wire
