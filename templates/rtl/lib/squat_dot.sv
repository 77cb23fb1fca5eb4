// What a lane adds for the events of a beat: the weights of those that are kept, each times its event's number.
//
// A number is taken two bits at a time, so that one addition makes each product; then pairs are added, and pairs of these.
// Every addition is registered.
// Latency: a cycle for the products of numbers, and one for each time that pairs are added, at least one in all; a new
// beat in every cycle.
`default_nettype none

module squat_dot #(
    parameter int WEIGHT = 4,            // bits of a weight's code
    parameter bit BIPOLAR = 1'b0,        // codes are of -1 (0) and +1 (1), else two's complement
    parameter int SIMD = 1,
    parameter int VALUE = 1,             // bits of a number; an unsigned one of a bit is a spike
    parameter bit VALUE_SIGNED = 1'b0,
    parameter int SUM = 12,
    parameter int LATENCY = 1            // as whoever waits for it counts: any other stops the elaboration
) (
    input  wire logic                   clk,
    input  wire logic [SIMD*WEIGHT-1:0] codes,
    input  wire logic [SIMD-1:0]        keep,
    input  wire logic [SIMD*VALUE-1:0]  numbers,
    output      logic [SUM-1:0]         total
);
    localparam bit TIMES = VALUE > 1 || VALUE_SIGNED;
    localparam int DIGITS = TIMES ? (VALUE + 1) / 2 : 1;
    localparam int TERMS = SIMD * DIGITS;
    localparam int LEVELS = $clog2(TERMS);
    localparam int PAIRED = LEVELS + (TIMES ? 1 : 0);
    localparam int WHOLE = WEIGHT + VALUE + 2 + $clog2(SIMD);
    localparam int WIDE = WHOLE < SUM ? WHOLE : SUM;  // bits of any total

    if (LATENCY != (PAIRED > 0 ? PAIRED : 1)) begin : g_wrong
        $error("squat_dot: it takes another number of cycles than LATENCY");
    end

    logic [TERMS*WIDE-1:0] sums [LEVELS + 1];
    for (genvar b = 0; b < SIMD; b++) begin : g_event
        logic [2*DIGITS-1:0] number;
        if (TIMES) begin : g_number
            assign number = (2 * DIGITS)'({VALUE_SIGNED && numbers[b*VALUE+VALUE-1], numbers[b*VALUE+:VALUE]});
        end else begin : g_spike
            assign number = '1;
            wire unused = &{1'b0, numbers[b*VALUE+:VALUE]};
        end
        for (genvar d = 0; d < DIGITS; d++) begin : g_digit
            logic signed [WIDE-1:0] product, term;
            squat_product #(
                .WEIGHT(WEIGHT), .BIPOLAR(BIPOLAR), .VALUE(TIMES ? 2 : 1),
                .VALUE_SIGNED(VALUE_SIGNED && d == DIGITS - 1), .SUM(WIDE)
            ) multiplied (
                .code(codes[b*WEIGHT+:WEIGHT]), .number(number[2*d+:TIMES ? 2 : 1]), .product
            );
            assign term = keep[b] ? product <<< (2 * d) : '0;
            if (TIMES) begin : g_held
                always_ff @(posedge clk) sums[0][(b*DIGITS+d)*WIDE+:WIDE] <= term;
            end else begin : g_through
                assign sums[0][b*WIDE+:WIDE] = term;
                wire unused = &{1'b0, number[1]};
            end
        end
    end

    for (genvar l = 1; l <= LEVELS; l++) begin : g_level
        localparam int BEFORE = (TERMS + (1 << (l - 1)) - 1) >> (l - 1);
        for (genvar k = 0; k < TERMS; k++) begin : g_sum
            if (2 * k + 1 < BEFORE) begin : g_pair
                always_ff @(posedge clk) begin
                    sums[l][k*WIDE+:WIDE] <= sums[l-1][2*k*WIDE+:WIDE] + sums[l-1][(2*k+1)*WIDE+:WIDE];
                end
            end else if (2 * k < BEFORE) begin : g_alone
                always_ff @(posedge clk) sums[l][k*WIDE+:WIDE] <= sums[l-1][2*k*WIDE+:WIDE];
            end else begin : g_none
                assign sums[l][k*WIDE+:WIDE] = '0;
            end
        end
    end

    logic signed [WIDE-1:0] added;
    if (LEVELS == 0 && !TIMES) begin : g_registered
        always_ff @(posedge clk) added <= sums[0];
    end else begin : g_made
        assign added = sums[LEVELS][WIDE-1:0];
    end
    assign total = SUM'(added);
    wire unused = &{1'b0, sums[LEVELS]};
endmodule

`default_nettype wire
