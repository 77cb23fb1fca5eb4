// A squat_pair against the transition tables of its layer, as unit_neuron.sv is for neurons of one state: two levels are
// chosen by the solver, that of the membrane and that of the current, each between its brackets.
`default_nettype none

module unit_pair #(
    parameter int SUM = 12,
    parameter int MEMBRANE = 2,
    parameter int MEMBRANES = 4,
    parameter int CURRENT = 2,
    parameter int CURRENTS = 4,
    parameter int LEVEL = 2,
    parameter int KEY = 12,
    parameter int FRACTION = 0,
    parameter int NEXT_LEVEL = 2,
    parameter int NEXT_KEY = 12,
    parameter int NEXT_FRACTION = 0,
    parameter int SOME = 0,
    parameter int CARRIED = 1,
    parameter int OWNERS = 1,
    parameter int OWNER = 1,
    parameter longint LOW = 0,
    parameter longint HIGH = 0,
    parameter int LEVELS = 4,        // of the network, as all below
    parameter int NEXT_LEVELS = 4,
    parameter int WANT_FRACTION = 0,
    parameter int WANT_NEXT_FRACTION = 0,
    parameter int WIDE = 32,         // bits of a key
    parameter int CARRIES = 1        // the next membrane is the level
) (
    input wire logic                        clk,
    input wire logic [OWNER-1:0]            owner,
    input wire logic [CURRENT+MEMBRANE-1:0] state,
    input wire logic signed [SUM-1:0]       sum
);
    localparam int LATENCY = (LEVEL > NEXT_LEVEL ? LEVEL : NEXT_LEVEL) + 2;

    logic [CURRENT+MEMBRANE-1:0] next_state;
    logic spike;
    squat_pair #(
        .SUM(SUM), .MEMBRANE(MEMBRANE), .MEMBRANES(MEMBRANES), .CURRENT(CURRENT), .CURRENTS(CURRENTS), .LEVEL(LEVEL),
        .KEY(KEY), .FRACTION(FRACTION), .NEXT_LEVEL(NEXT_LEVEL), .NEXT_KEY(NEXT_KEY), .NEXT_FRACTION(NEXT_FRACTION),
        .SOME(SOME != 0), .CARRIED(CARRIED != 0), .OWNERS(OWNERS), .OWNER(OWNER),
        .MEMBRANE_OFFSET("membrane_offset.hex"), .CURRENT_OFFSET("current_offset.hex"),
        .BOUNDARIES("boundaries"), .NEXT_OFFSET("next_offset.hex"), .NEXT_BOUNDS("next_bounds"),
        .FOLLOWS("follows.hex"), .SUCCESSOR("successor.hex"), .FIRE("fire.hex")
    ) unit (.clk, .move(1'b1), .owner, .state, .sum, .next_state, .spike);

    logic signed [WIDE-1:0] lower [OWNERS * LEVELS];
    logic signed [WIDE-1:0] upper [OWNERS * LEVELS];
    logic signed [WIDE-1:0] next_lower [OWNERS * NEXT_LEVELS];
    logic signed [WIDE-1:0] next_upper [OWNERS * NEXT_LEVELS];
    logic signed [WIDE-1:0] membranes [OWNERS * MEMBRANES];
    logic signed [WIDE-1:0] currents [OWNERS * CURRENTS];
    logic signed [WIDE-1:0] nexts [OWNERS * CURRENTS];
    logic sees [OWNERS * MEMBRANES];
    logic [MEMBRANE-1:0] followers [OWNERS * MEMBRANES * (CARRIES != 0 ? 1 : LEVELS)];
    logic [LEVEL:0] firsts [OWNERS];
    initial $readmemh("want_lower.hex", lower);
    initial $readmemh("want_upper.hex", upper);
    initial $readmemh("want_next_lower.hex", next_lower);
    initial $readmemh("want_next_upper.hex", next_upper);
    initial $readmemh("want_membranes.hex", membranes);
    initial $readmemh("want_currents.hex", currents);
    initial $readmemh("want_nexts.hex", nexts);
    initial $readmemh("want_sees.hex", sees);
    initial $readmemh("want_successor.hex", followers);
    initial $readmemh("want_fire.hex", firsts);

    (* anyconst *) logic [LEVEL-1:0] level;
    (* anyconst *) logic [NEXT_LEVEL-1:0] after;
    logic [7:0] cycle = '0;
    always_ff @(posedge clk) cycle <= cycle == '1 ? cycle : cycle + 1'b1;

    // What was fed in the first cycle; later ones are free.
    logic [OWNER-1:0] whose;
    logic [MEMBRANE-1:0] from;
    always_ff @(posedge clk) if (cycle == '0) begin
        whose <= owner;
        from <= state[MEMBRANE-1:0];
    end

    logic signed [WIDE-1:0] key, next_key;
    int membrane, current, bracket, next_bracket;
    always_comb begin
        membrane = int'(owner) * MEMBRANES + int'(state[MEMBRANE-1:0]);
        current = int'(owner) * CURRENTS + int'(state[CURRENT+MEMBRANE-1:MEMBRANE]);
        bracket = int'(owner) * LEVELS + int'(level);
        next_bracket = int'(owner) * NEXT_LEVELS + int'(after);
        key = membranes[membrane];
        if (sees[membrane]) key = key + currents[current] + (WIDE'(sum) <<< WANT_FRACTION);
        next_key = nexts[current] + (WIDE'(sum) <<< WANT_NEXT_FRACTION);
        if (cycle == '0) begin
            assume (int'(owner) < OWNERS && int'(level) < LEVELS && int'(after) < NEXT_LEVELS);
            assume (int'(state[MEMBRANE-1:0]) < MEMBRANES);
            assume (int'(state[CURRENT+MEMBRANE-1:MEMBRANE]) < CURRENTS);
            assume (64'(sum) >= LOW && 64'(sum) <= HIGH);
            assume (lower[bracket] <= key && key <= upper[bracket]);
            assume (next_lower[next_bracket] <= next_key && next_key <= next_upper[next_bracket]);
        end
    end

    logic [MEMBRANE-1:0] follower;
    logic fires;
    always_comb begin
        follower = CARRIES != 0 ? MEMBRANE'(level)
            : followers[(int'(whose) * MEMBRANES + int'(from)) * LEVELS + int'(level)];
        fires = {1'b0, level} >= firsts[whose];
        if (int'(cycle) == LATENCY) begin
            membrane_of: assert (next_state[MEMBRANE-1:0] == follower);
            current_of: assert (next_state[CURRENT+MEMBRANE-1:MEMBRANE] == CURRENT'(after));
            spike_of: assert (spike == fires);
        end
    end
endmodule

`default_nettype wire
