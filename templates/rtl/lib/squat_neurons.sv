// A layer of neurons, PE at once: reads the sums of a step row by row, updates states, gives a row of spikes a cycle.
//
// Neurons of two states (PAIR) have codes of both in place of a state.
// At the first step of a sequence (flag 0) states are taken to be REST, whatever memory holds.
// Latency of a row: that of `squat_neuron`, behind READ cycles in which its sums are read. A step begins when all rows of the step before have left.
`default_nettype none

module squat_neurons #(
    parameter int PE = 1,
    parameter int GROUPS = 1,     // rows of a position
    parameter int POSITIONS = 1,
    parameter int CHANNELS = 1,
    parameter int SUM = 12,
    parameter int STATE = 2,
    parameter int STATES = 4,
    parameter int LEVEL = 2,
    parameter int KEY = 12,
    parameter bit KEYS = 1'b0,
    parameter int FRACTION = 0,
    parameter int SHIFT = -1,     // as `squat_neuron` has them
    parameter int TOP = 3,
    parameter bit CARRIED = 1'b1,
    parameter int REST = 0,
    parameter int OWNERS = 1,     // tables of a lane: one, one a group, or one a row
    parameter bit OWN = 1'b0,     // every lane has tables of its own
    parameter int FLAGS = 2,
    parameter int READ = 1,       // cycles from where a row is asked for to its sums; with more than one, of those with `in_read`
    parameter bit PAIR = 1'b0,    // neurons of two states, `squat_pair`, with the parameters that only that has:
    parameter int MEMBRANE = 1,
    parameter int CURRENTS = 1,
    parameter int NEXT_LEVEL = 1,
    parameter int NEXT_KEY = 1,
    parameter int NEXT_FRACTION = 0,
    parameter bit SOME = 1'b0,
    parameter     CURRENT_OFFSET = "",
    parameter     NEXT_OFFSET = "",
    parameter     NEXT_BOUNDS = "",
    parameter     FOLLOWS = "",
    parameter     TABLE = "",     // files TABLE + "000.hex", one a lane with OWN, else one for all; several of a search
    parameter     OFFSET = "",
    parameter     SUCCESSOR = "",
    parameter     FIRE = ""
) (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic                in_full,
    input  wire logic [FLAGS-1:0]    in_flags,
    output      logic [ROW-1:0]      in_row,
    output      logic                in_read,
    input  wire logic [PE*SUM-1:0]   in_sums,   // of the row that was read last, or READ cycles before
    output      logic                in_done,
    output      logic                out_valid,
    input  wire logic                out_ready,
    output      logic                out_last,
    output      logic [FLAGS-1:0]    out_flags,
    output      logic [PE-1:0]       out_spikes,
    output      logic [PE*STATE-1:0] out_states
);
    localparam int ROWS = GROUPS * POSITIONS;
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int GROUP = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam int UNIT = PAIR && NEXT_LEVEL > LEVEL ? NEXT_LEVEL + 2 : PAIR || (SHIFT < 0 && (KEYS || LEVEL > 2)) ? LEVEL + 2 : 2;
    localparam int LATENCY = UNIT + READ - 1;
    localparam int OWNER = OWNERS > 1 ? $clog2(OWNERS) : 1;

    logic [ROW-1:0] row = '0;
    logic [GROUP-1:0] group = '0;  // of that row
    logic [GROUP-1:0] groups [LATENCY + 1];
    logic running = 1'b0;
    logic [LATENCY:0] valid = '0;  // stage 0 holds what has just been asked for, stage READ - 1 its sums
    logic [LATENCY:0] last;
    logic [ROW-1:0] rows [LATENCY + 1];
    logic [FLAGS-1:0] flags [LATENCY + 1];
    logic move, issue, ended;

    assign move = !valid[LATENCY] || out_ready;
    assign issue = move && (running || (in_full && valid == '0));
    assign ended = issue && row == ROW'(ROWS - 1);
    assign in_row = row;
    assign in_read = READ > 1 ? move : issue;
    assign in_done = ended;

    always_ff @(posedge clk) begin
        if (rst) begin
            row <= '0;
            group <= '0;
            running <= 1'b0;
            valid <= '0;
        end else if (move) begin
            valid <= {valid[LATENCY-1:0], issue};
            if (issue) begin
                row <= ended ? '0 : row + 1'b1;
                group <= group == GROUP'(GROUPS - 1) ? '0 : group + 1'b1;
                running <= !ended;
            end
        end
        if (move) begin
            last <= {last[LATENCY-1:0], ended};
            rows[0] <= row;
            groups[0] <= group;
            flags[0] <= in_flags;
            for (int stage = 0; stage < LATENCY; stage++) begin
                rows[stage+1] <= rows[stage];
                groups[stage+1] <= groups[stage];
                flags[stage+1] <= flags[stage];
            end
        end
    end

    logic [PE*STATE-1:0] kept, read;
    logic [PE*STATE-1:0] from [READ];
    squat_ram #(.WIDTH(PE * STATE), .DEPTH(ROWS)) states (
        .clk, .write(valid[LATENCY] && move), .write_at(rows[LATENCY]), .written(out_states), .read(move),
        .read_at(row), .word(kept)
    );
    assign from[0] = flags[0][0] ? {PE{STATE'(REST)}} : kept;
    assign read = from[READ-1];
    for (genvar stage = 1; stage < READ; stage++) begin : g_read
        always_ff @(posedge clk) if (move) from[stage] <= from[stage-1];
    end

    logic [OWNER-1:0] owner;
    assign owner = OWNERS == 1 ? '0 : OWNERS == ROWS ? OWNER'(rows[READ-1]) : OWNER'(groups[READ-1]);

    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        localparam int NAMED = OWN ? lane : 0;
        localparam logic [23:0] DIGITS = {8'(48 + NAMED / 100), 8'(48 + NAMED / 10 % 10), 8'(48 + NAMED % 10)};
        logic spike;
        if (PAIR) begin : g_pair
            squat_pair #(
                .SUM(SUM), .MEMBRANE(MEMBRANE), .MEMBRANES(STATES), .CURRENT(STATE - MEMBRANE), .CURRENTS(CURRENTS),
                .LEVEL(LEVEL), .KEY(KEY), .FRACTION(FRACTION), .NEXT_LEVEL(NEXT_LEVEL), .NEXT_KEY(NEXT_KEY),
                .NEXT_FRACTION(NEXT_FRACTION), .SOME(SOME), .CARRIED(CARRIED), .OWNERS(OWNERS), .OWNER(OWNER),
                .MEMBRANE_OFFSET({OFFSET, DIGITS, ".hex"}), .CURRENT_OFFSET({CURRENT_OFFSET, DIGITS, ".hex"}),
                .BOUNDARIES({TABLE, DIGITS}), .NEXT_OFFSET({NEXT_OFFSET, DIGITS, ".hex"}),
                .NEXT_BOUNDS({NEXT_BOUNDS, DIGITS}), .FOLLOWS({FOLLOWS, DIGITS, ".hex"}),
                .SUCCESSOR({SUCCESSOR, DIGITS, ".hex"}), .FIRE({FIRE, DIGITS, ".hex"})
            ) neuron (
                .clk, .move, .owner, .state(read[lane*STATE+:STATE]), .sum(in_sums[lane*SUM+:SUM]),
                .next_state(out_states[lane*STATE+:STATE]), .spike
            );
        end else begin : g_single
            squat_neuron #(
                .SUM(SUM), .STATE(STATE), .STATES(STATES), .LEVEL(LEVEL), .KEY(KEY), .KEYS(KEYS), .FRACTION(FRACTION),
                .SHIFT(SHIFT), .TOP(TOP), .CARRIED(CARRIED), .OWNERS(OWNERS), .OWNER(OWNER), .TABLE({TABLE, DIGITS}),
                .OFFSET({OFFSET, DIGITS, ".hex"}), .SUCCESSOR({SUCCESSOR, DIGITS, ".hex"}), .FIRE({FIRE, DIGITS, ".hex"})
            ) neuron (
                .clk, .move, .owner, .state(read[lane*STATE+:STATE]),
                .sum(in_sums[lane*SUM+:SUM]), .next_state(out_states[lane*STATE+:STATE]), .spike
            );
        end
        // A lane without a neuron says nothing.
        assign out_spikes[lane] = spike && 32'(groups[LATENCY]) * PE + lane < CHANNELS;
    end

    assign out_valid = valid[LATENCY];
    assign out_last = last[LATENCY];
    assign out_flags = flags[LATENCY];
endmodule

`default_nettype wire
