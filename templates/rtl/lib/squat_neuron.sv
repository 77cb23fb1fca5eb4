// One neuron's step: from a state and a synaptic sum to the level that the membrane reaches, the next state, the spike.
//
// Thresholds (KEYS = 0): the level is the number of TABLE[state] that are <= sum. Offsets (KEYS = 1): the number of TABLE
// that are <= OFFSET[state] + (sum << FRACTION). Up to 4 levels of thresholds are compared at once, else it is a
// `squat_search`. Tables have 2**LEVEL entries, padded with more than any key.
// Where boundaries are multiples of 2**SHIFT, the level is such a key, shifted right by SHIFT and clipped to 0..TOP.
// Latency: 2 cycles, or LEVEL + 2 of a search; a new state and sum in every cycle while `move` is high.
`default_nettype none

module squat_neuron #(
    parameter int SUM = 12,
    parameter int STATE = 2,
    parameter int STATES = 4,
    parameter int LEVEL = 2,       // bits of a level
    parameter int KEY = 12,        // bits of what is compared, signed
    parameter bit KEYS = 1'b0,
    parameter int FRACTION = 0,
    parameter int SHIFT = -1,      // of keys; -1 where they are searched for
    parameter int TOP = 3,         // highest level
    parameter bit CARRIED = 1'b1,  // the next state is the level; else SUCCESSOR says it
    parameter int OWNERS = 1,      // tables, chosen by `owner`
    parameter int OWNER = 1,       // bits of that
    parameter     TABLE = "",      // without ".hex", as `squat_search` wants it
    parameter     OFFSET = "",
    parameter     SUCCESSOR = "",
    parameter     FIRE = ""        // first level that spikes
) (
    input  wire logic                  clk,
    input  wire logic                  move,
    input  wire logic [OWNER-1:0]      owner,
    input  wire logic [STATE-1:0]      state,
    input  wire logic signed [SUM-1:0] sum,
    output      logic [STATE-1:0]      next_state,
    output      logic                  spike
);
    localparam bit SEARCH = SHIFT < 0 && (KEYS || LEVEL > 2);
    localparam int ROWS = OWNERS * (KEYS ? 1 : STATES);
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int FOUND = OWNERS * STATES * (1 << LEVEL);

    logic [LEVEL:0] fire [OWNERS];
    initial $readmemh(FIRE, fire);

    wire unused_sum = &{1'b0, sum};  // all that a whole sum can be fits a key
    logic [LEVEL-1:0] level;
    logic [STATE-1:0] from;
    logic [OWNER-1:0] whose;

    // The place of a state among those of all owners: owner * STATES + state, by additions.
    function automatic int place_of(input logic [OWNER-1:0] o, input logic [STATE-1:0] s);
        place_of = int'(s);
        for (int b = 0; b <= $clog2(STATES); b++) if (STATES[b]) place_of += int'(o) << b;
    endfunction

    logic [ROW-1:0] row;  // of the table
    assign row = ROW'(KEYS ? int'(owner) : place_of(owner, state));
    if (SHIFT >= 0) begin : g_shift
        logic signed [KEY-1:0] offset [OWNERS * STATES];
        localparam int BOTH = KEY > 32 ? KEY : 32;  // bits that a key and an int fit
        logic signed [KEY-1:0] key, shifted;
        initial $readmemh(OFFSET, offset);
        always_ff @(posedge clk) if (move) begin
            key <= offset[place_of(owner, state)] + (KEY'(sum) <<< FRACTION);
            from <= state;
            whose <= owner;
        end
        assign shifted = key >>> SHIFT;
        assign level = shifted < 0 ? '0 : BOTH'(shifted) > BOTH'(TOP) ? LEVEL'(TOP) : LEVEL'(shifted);
        wire unused_row = &{1'b0, row};
    end else if (!SEARCH) begin : g_at_once
        logic signed [KEY-1:0] searched [ROWS << LEVEL];
        initial $readmemh({TABLE, ".hex"}, searched);
        logic [LEVEL:0] count;
        always_comb begin
            count = '0;
            for (int i = 0; i < (1 << LEVEL) - 1; i++) begin
                if (searched[(int'(row) << LEVEL) | i] <= KEY'(sum)) count += 1'b1;
            end
        end
        always_ff @(posedge clk) if (move) begin
            level <= count[LEVEL-1:0];
            from <= state;
            whose <= owner;
        end
    end else begin : g_search
        logic signed [KEY-1:0] key;
        logic [STATE-1:0] states [LEVEL + 1];
        logic [OWNER-1:0] owners [LEVEL + 1];
        if (KEYS) begin : g_offset
            logic signed [KEY-1:0] offset [OWNERS * STATES];
            initial $readmemh(OFFSET, offset);
            always_ff @(posedge clk) if (move) key <= offset[place_of(owner, state)] + (KEY'(sum) <<< FRACTION);
        end else begin : g_threshold
            always_ff @(posedge clk) if (move) key <= KEY'(sum);
        end
        always_ff @(posedge clk) if (move) begin
            states[0] <= state;
            owners[0] <= owner;
            for (int stage = 0; stage < LEVEL; stage++) begin
                states[stage+1] <= states[stage];
                owners[stage+1] <= owners[stage];
            end
        end
        squat_search #(.LEVEL(LEVEL), .KEY(KEY), .OWNERS(ROWS), .OWNER(ROW), .TABLE(TABLE)) reached (
            .clk, .move, .owner(row), .key, .found(level)
        );
        assign from = states[LEVEL];
        assign whose = owners[LEVEL];
    end

    logic [STATE-1:0] reached;
    if (CARRIED) begin : g_carried
        assign reached = STATE'(level);
        wire unused_from = &{1'b0, from};
    end else begin : g_successor
        logic [STATE-1:0] successor [FOUND];
        initial $readmemh(SUCCESSOR, successor);
        assign reached = successor[place_of(whose, from) << LEVEL | int'(level)];
    end

    always_ff @(posedge clk) if (move) begin
        next_state <= reached;
        spike <= {1'b0, level} >= fire[whose];
    end
endmodule

`default_nettype wire
