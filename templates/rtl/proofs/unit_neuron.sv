// A squat_neuron against the transition table of its layer: whatever its registers hold, LATENCY cycles after any state
// and any sum in LOW..HIGH it says the table's next state and spike. Where all units of a layer are alike, all lanes.
//
// The table is told by brackets: level l is reached exactly where LOWER[l] <= key <= UPPER[l], `key` being the sum
// (thresholds, a row of brackets a state) or offset + sum * 2**FRACTION (one row). Since brackets leave no gap, some
// level fits every sum; the solver chooses it. Files are written from the network, not from the memories of the core.
`default_nettype none

module unit_neuron #(
    parameter int SUM = 12,
    parameter int STATE = 2,
    parameter int STATES = 4,
    parameter int LEVEL = 2,
    parameter int KEY = 12,
    parameter int KEYS = 0,
    parameter int FRACTION = 0,
    parameter int SHIFT = -1,
    parameter int TOP = 3,
    parameter int CARRIED = 1,
    parameter int OWNERS = 1,
    parameter int OWNER = 1,
    parameter longint LOW = 0,
    parameter longint HIGH = 0,
    parameter int LEVELS = 4,   // of the network, as all below
    parameter int WIDE = 32,    // bits of a key
    parameter int CARRIES = 1   // the next state is the level
) (
    input wire logic                  clk,
    input wire logic [OWNER-1:0]      owner,
    input wire logic [STATE-1:0]      state,
    input wire logic signed [SUM-1:0] sum
);
    localparam int LATENCY = SHIFT < 0 && (KEYS != 0 || LEVEL > 2) ? LEVEL + 2 : 2;
    localparam int BRACKETS = OWNERS * LEVELS * (KEYS != 0 ? 1 : STATES);

    logic [STATE-1:0] next_state;
    logic spike;
    squat_neuron #(
        .SUM(SUM), .STATE(STATE), .STATES(STATES), .LEVEL(LEVEL), .KEY(KEY), .KEYS(KEYS != 0), .FRACTION(FRACTION),
        .SHIFT(SHIFT), .TOP(TOP),
        .CARRIED(CARRIED != 0), .OWNERS(OWNERS), .OWNER(OWNER), .TABLE("table"), .OFFSET("offset.hex"),
        .SUCCESSOR("successor.hex"), .FIRE("fire.hex")
    ) unit (.clk, .move(1'b1), .owner, .state, .sum, .next_state, .spike);

    logic signed [WIDE-1:0] lower [BRACKETS];
    logic signed [WIDE-1:0] upper [BRACKETS];
    logic signed [WIDE-1:0] offsets [OWNERS * STATES];
    logic [STATE-1:0] followers [OWNERS * STATES * (CARRIES != 0 ? 1 : LEVELS)];
    logic [LEVEL:0] firsts [OWNERS];
    logic live [OWNERS * STATES];  // states that a neuron can ever be in
    initial $readmemh("want_lower.hex", lower);
    initial $readmemh("want_upper.hex", upper);
    initial $readmemh("want_offset.hex", offsets);
    initial $readmemh("want_successor.hex", followers);
    initial $readmemh("want_fire.hex", firsts);
    initial $readmemh("want_live.hex", live);

    (* anyconst *) logic [LEVEL-1:0] level;
    logic [7:0] cycle = '0;
    always_ff @(posedge clk) cycle <= cycle == '1 ? cycle : cycle + 1'b1;

    // What was fed in the first cycle; later ones are free.
    logic [OWNER-1:0] whose;
    logic [STATE-1:0] from;
    logic signed [SUM-1:0] fed;
    always_ff @(posedge clk) if (cycle == '0) begin
        whose <= owner;
        from <= state;
        fed <= sum;
    end

    logic signed [WIDE-1:0] key;
    int bracket, neuron;
    always_comb begin
        neuron = int'(owner) * STATES + int'(state);
        bracket = (KEYS != 0 ? int'(owner) : neuron) * LEVELS + int'(level);
        key = KEYS != 0 ? offsets[neuron] + (WIDE'(sum) <<< FRACTION) : WIDE'(sum);
        if (cycle == '0) begin
            assume (int'(owner) < OWNERS && int'(state) < STATES && int'(level) < LEVELS);
            assume (64'(sum) >= LOW && 64'(sum) <= HIGH && live[neuron]);
            assume (lower[bracket] <= key && key <= upper[bracket]);
        end
    end

    int place;
    logic [STATE-1:0] follower;
    logic fires;
    always_comb begin
        place = int'(whose) * STATES + int'(from);
        follower = CARRIES != 0 ? STATE'(level) : followers[place * LEVELS + int'(level)];
        fires = {1'b0, level} >= firsts[whose];
        if (int'(cycle) == LATENCY) begin
            transition: assert (next_state == follower);
            spikes: assert (spike == fires);
            closed: assert (live[int'(whose) * STATES + int'(next_state)]);
        end
    end
endmodule

`default_nettype wire
