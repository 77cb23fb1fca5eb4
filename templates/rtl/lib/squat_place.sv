// Events as a page of sums: the value of every event is added where its index belongs.
//
// A table says the row and the lane of each index. A step begins with a pass over all rows, which puts zeros there.
// With HELD, events come once a sequence: a step without any presents the sums that are there once more.
// Latency: 3 cycles from a beat to its sum; throughput: a beat a cycle behind the ROWS cycles in which a step begins.
`default_nettype none

module squat_place #(
    parameter int PE = 1,
    parameter int ROWS = 1,
    parameter int ENTRIES = 2,
    parameter int INDEX = 1,
    parameter int VALUE = 1,
    parameter bit VALUE_SIGNED = 1'b0,
    parameter int SUM = 8,
    parameter bit HELD = 1'b0,
    parameter int READERS = 1,
    parameter int FLAGS = 2,
    parameter     PLACES = "",         // file of ENTRIES places, the lane in the lowest bits
    parameter     START = ""           // file of ROWS rows of zeros
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    input  wire logic                      in_valid,
    output      logic                      in_ready,
    input  wire logic                      in_end,
    input  wire logic [FLAGS-1:0]          in_flags,
    input  wire logic                      in_keep,
    input  wire logic [INDEX-1:0]          in_index,
    input  wire logic [VALUE-1:0]          in_value,
    output      logic [READERS-1:0]        out_full,   // the sums, as `squat_sums` gives them
    output      logic [READERS*FLAGS-1:0]  out_flags,
    input  wire logic [READERS*ROW-1:0]    out_row,
    input  wire logic [READERS-1:0]        out_read,
    output      logic [READERS*PE*SUM-1:0] out_sums,
    input  wire logic [READERS-1:0]        out_done
);
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int LANE = PE > 1 ? $clog2(PE) : 1;
    localparam int DEPTH = ENTRIES > 1 ? ENTRIES : 2;

    // Stage 0: rows are cleared, then beats are taken.
    logic fresh = 1'b1;  // this step has not begun
    logic [ROW-1:0] row = '0;
    logic free, again, clear, take, repeats;

    assign again = HELD && in_end && fresh && !in_flags[0] && !in_keep;
    assign clear = in_valid && fresh && !again && (row != '0 || free);
    assign repeats = in_valid && again && free;
    assign take = in_valid && !fresh;
    assign in_ready = take || repeats;

    always_ff @(posedge clk) begin
        if (rst) begin
            fresh <= 1'b1;
            row <= '0;
        end else begin
            if (clear) begin
                row <= row == ROW'(ROWS - 1) ? '0 : row + 1'b1;
                fresh <= row != ROW'(ROWS - 1);
            end
            if (take) fresh <= in_end;
        end
    end

    // Stage 1: where it belongs.
    logic s1_valid = 1'b0;
    logic s1_first, s1_end, s1_again, s1_keep;
    logic [FLAGS-1:0] s1_flags;
    logic [ROW-1:0] s1_row;
    logic [VALUE-1:0] s1_value;
    logic [ROW+LANE-1:0] s1_place;
    squat_rom #(.WIDTH(ROW + LANE), .DEPTH(DEPTH), .FILE(PLACES)) places (
        .clk, .address($clog2(DEPTH)'(in_index)), .word(s1_place)
    );
    always_ff @(posedge clk) begin
        s1_valid <= (clear || take || repeats) && !rst;
        s1_first <= clear;
        s1_end <= in_end && !clear;
        s1_again <= repeats;
        s1_keep <= in_keep && take;
        s1_flags <= in_flags;
        s1_row <= row;
        s1_value <= in_value;
    end

    // Stage 2: the number of every lane.
    logic s2_valid = 1'b0;
    logic s2_first, s2_end, s2_again;
    logic [FLAGS-1:0] s2_flags;
    logic [ROW-1:0] s2_row;
    logic [PE*SUM-1:0] s2_numbers;
    logic signed [VALUE:0] value;
    wire unused = &{1'b0, value};
    assign value = {VALUE_SIGNED && s1_value[VALUE-1], s1_value};
    always_ff @(posedge clk) begin
        s2_valid <= s1_valid && !rst;
        s2_first <= s1_first;
        s2_end <= s1_end;
        s2_again <= s1_again;
        s2_flags <= s1_flags;
        s2_row <= s1_keep ? s1_place[LANE+:ROW] : s1_row;
        for (int lane = 0; lane < PE; lane++) begin
            s2_numbers[lane*SUM+:SUM] <= '0;
            if (s1_keep && s1_place[LANE-1:0] == LANE'(lane)) s2_numbers[lane*SUM+:SUM] <= SUM'(value);
        end
    end

    squat_sums #(
        .PE(PE), .ROWS(ROWS), .SUM(SUM), .HELD(HELD), .READERS(READERS), .FLAGS(FLAGS), .START(START)
    ) sums (
        .clk, .rst, .free, .claim((clear && row == '0) || repeats), .add(s2_valid), .add_first(s2_first),
        .add_again(s2_again), .add_end(s2_end), .add_flags(s2_flags), .add_row(s2_row), .add_numbers(s2_numbers),
        .out_full, .out_flags, .out_row, .out_read, .out_sums, .out_done
    );
endmodule

`default_nettype wire
