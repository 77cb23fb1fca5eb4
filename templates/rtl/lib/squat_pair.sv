// One step of a neuron with two states: a membrane, and a synaptic current of which it sees the new value.
//
// The level of the membrane is the number of BOUNDARIES <= MEMBRANE_OFFSET[membrane] + CURRENT_OFFSET[current] +
// (sum << FRACTION); where FOLLOWS[membrane] is 0 it does not see current and sum. The next current is the number of
// NEXT_BOUNDS <= NEXT_OFFSET[current] + (sum << NEXT_FRACTION). A code has the current above the membrane.
// Latency: 2 cycles and as many as the longer search has bits; a new code and sum in every cycle while `move` is high.
`default_nettype none

module squat_pair #(
    parameter int SUM = 12,
    parameter int MEMBRANE = 2,     // bits of a membrane's state
    parameter int MEMBRANES = 4,    // states
    parameter int CURRENT = 2,      // the same of a current
    parameter int CURRENTS = 4,
    parameter int LEVEL = 2,        // bits of a level, and of its search's key
    parameter int KEY = 12,
    parameter int FRACTION = 0,
    parameter int NEXT_LEVEL = 2,   // the same of the next current
    parameter int NEXT_KEY = 12,
    parameter int NEXT_FRACTION = 0,
    parameter bit SOME = 1'b0,      // there are membranes that do not follow
    parameter bit CARRIED = 1'b1,   // the next membrane is the level; else SUCCESSOR says it
    parameter int OWNERS = 1,       // tables, chosen by `owner`
    parameter int OWNER = 1,
    parameter     MEMBRANE_OFFSET = "",
    parameter     CURRENT_OFFSET = "",
    parameter     BOUNDARIES = "",  // without ".hex", as `squat_search` wants it
    parameter     NEXT_OFFSET = "",
    parameter     NEXT_BOUNDS = "", // too
    parameter     FOLLOWS = "",
    parameter     SUCCESSOR = "",
    parameter     FIRE = ""         // first level that spikes
) (
    input  wire logic                        clk,
    input  wire logic                        move,
    input  wire logic [OWNER-1:0]            owner,
    input  wire logic [CURRENT+MEMBRANE-1:0] state,
    input  wire logic signed [SUM-1:0]       sum,
    output      logic [CURRENT+MEMBRANE-1:0] next_state,
    output      logic                        spike
);
    localparam int STAGES = LEVEL > NEXT_LEVEL ? LEVEL : NEXT_LEVEL;

    logic signed [KEY-1:0] membrane_offset [OWNERS*MEMBRANES];
    logic signed [KEY-1:0] current_offset [OWNERS*CURRENTS];
    logic signed [NEXT_KEY-1:0] next_offset [OWNERS*CURRENTS];
    logic [LEVEL:0] fire [OWNERS];
    initial $readmemh(MEMBRANE_OFFSET, membrane_offset);
    initial $readmemh(CURRENT_OFFSET, current_offset);
    initial $readmemh(NEXT_OFFSET, next_offset);
    initial $readmemh(FIRE, fire);

    // Both keys.
    wire unused_sum = &{1'b0, sum};  // all that a whole sum can be fits a key
    logic [MEMBRANE-1:0] membrane;
    logic [CURRENT-1:0] current;
    assign {current, membrane} = state;
    logic follows;
    if (SOME) begin : g_follows
        logic [0:0] seen [OWNERS*MEMBRANES];
        initial $readmemh(FOLLOWS, seen);
        assign follows = seen[int'(owner) * MEMBRANES + int'(membrane)];
    end else begin : g_all_follow
        assign follows = 1'b1;
    end

    logic signed [KEY-1:0] met, key;
    logic signed [NEXT_KEY-1:0] next_key;
    logic [OWNER-1:0] owners [STAGES + 1];
    logic [MEMBRANE-1:0] membranes [STAGES + 1];
    always_comb begin
        met = current_offset[int'(owner) * CURRENTS + int'(current)] + (KEY'(sum) <<< FRACTION);
        if (!follows) met = '0;
    end
    always_ff @(posedge clk) if (move) begin
        key <= membrane_offset[int'(owner) * MEMBRANES + int'(membrane)] + met;
        next_key <= next_offset[int'(owner) * CURRENTS + int'(current)] + (NEXT_KEY'(sum) <<< NEXT_FRACTION);
        owners[0] <= owner;
        membranes[0] <= membrane;
        for (int stage = 0; stage < STAGES; stage++) begin
            owners[stage+1] <= owners[stage];
            membranes[stage+1] <= membranes[stage];
        end
    end

    // Both searches; the shorter one waits.
    logic [LEVEL-1:0] level_found, level;
    logic [NEXT_LEVEL-1:0] after_found, after;
    squat_search #(.LEVEL(LEVEL), .KEY(KEY), .OWNERS(OWNERS), .OWNER(OWNER), .TABLE(BOUNDARIES)) reached (
        .clk, .move, .owner, .key, .found(level_found)
    );
    squat_search #(
        .LEVEL(NEXT_LEVEL), .KEY(NEXT_KEY), .OWNERS(OWNERS), .OWNER(OWNER), .TABLE(NEXT_BOUNDS)
    ) following (.clk, .move, .owner, .key(next_key), .found(after_found));

    logic [LEVEL-1:0] levels [STAGES - LEVEL + 1];
    logic [NEXT_LEVEL-1:0] afters [STAGES - NEXT_LEVEL + 1];
    assign levels[0] = level_found;
    assign afters[0] = after_found;
    for (genvar i = 0; i < STAGES - LEVEL; i++) begin : g_level
        always_ff @(posedge clk) if (move) levels[i+1] <= levels[i];
    end
    for (genvar i = 0; i < STAGES - NEXT_LEVEL; i++) begin : g_after
        always_ff @(posedge clk) if (move) afters[i+1] <= afters[i];
    end
    assign level = levels[STAGES-LEVEL];
    assign after = afters[STAGES-NEXT_LEVEL];

    logic [MEMBRANE-1:0] left;
    if (CARRIED) begin : g_carried
        assign left = MEMBRANE'(level);
        wire unused = &{1'b0, membranes[STAGES]};
    end else begin : g_successor
        logic [MEMBRANE-1:0] successor [OWNERS*MEMBRANES*(1<<LEVEL)];
        initial $readmemh(SUCCESSOR, successor);
        assign left = successor[(int'(owners[STAGES]) * MEMBRANES + int'(membranes[STAGES])) * (1 << LEVEL) + int'(level)];
    end

    always_ff @(posedge clk) if (move) begin
        next_state <= {CURRENT'(after), left};
        spike <= {1'b0, level} >= fire[owners[STAGES]];
    end
endmodule

`default_nettype wire
