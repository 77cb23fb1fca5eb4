// Rows of some steps before: every number as it was STEPS ago, each by a table, or all alike; 0 before the sequence began.
//
// The last DEPTH steps lie in a ring, a slot of all rows each; with EACH, every field has a memory of its own.
// Latency: a cycle; throughput: a row a cycle; a step that ends early is filled up with zeros.
`default_nettype none

module squat_delay #(
    parameter int FIELDS = 1,
    parameter int VALUE = 1,
    parameter int WORDS = 1,      // rows of a step
    parameter int DEPTH = 2,      // one more than the most steps
    parameter bit EACH = 1'b0,
    parameter int FLAGS = 2,
    parameter     STEPS = ""      // file of WORDS rows of numbers of steps, of one field each, or of all alike
) (
    input  wire logic                    clk,
    input  wire logic                    rst,
    input  wire logic                    in_valid,
    output      logic                    in_ready,
    input  wire logic                    in_last,
    input  wire logic [FLAGS-1:0]        in_flags,
    input  wire logic [FIELDS*VALUE-1:0] in_fields,
    output      logic                    out_valid,
    input  wire logic                    out_ready,
    output      logic                    out_last,
    output      logic [FLAGS-1:0]        out_flags,
    output      logic [FIELDS*VALUE-1:0] out_fields
);
    localparam int PARTS = EACH ? FIELDS : 1;
    localparam int WIDTH = EACH ? VALUE : FIELDS * VALUE;
    localparam int WORD = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam int STEP = $clog2(DEPTH + 1);  // bits of a number of steps, DEPTH among them
    localparam int PLACE = DEPTH * WORDS > 1 ? $clog2(DEPTH * WORDS) : 1;

    logic [PARTS*STEP-1:0] steps [WORDS];
    initial $readmemh(STEPS, steps);

    logic [WORD-1:0] word = '0;
    logic [PLACE-1:0] base = '0;    // of this word in the ring
    logic [STEP-1:0] slot = '0;     // of this step
    logic [STEP-1:0] age = '0;      // steps since the sequence began, up to DEPTH
    logic [STEP-1:0] now;
    logic held = 1'b0;
    logic filling = 1'b0;           // the step has ended early
    logic [FLAGS-1:0] kept;         // its flags
    logic [FLAGS-1:0] flags;
    logic go, last_word;

    assign go = (in_valid || filling) && (!held || out_ready);
    assign last_word = word == WORD'(WORDS - 1);
    assign in_ready = go && !filling;
    assign flags = filling ? kept : in_flags;
    assign now = flags[0] ? '0 : age;
    assign out_valid = held;

    always_ff @(posedge clk) begin
        if (rst) begin
            word <= '0;
            base <= '0;
            slot <= '0;
            filling <= 1'b0;
            held <= 1'b0;
        end else begin
            held <= go || (held && !out_ready);
            if (go) begin
                filling <= !last_word && (filling || in_last);
                word <= last_word ? '0 : word + 1'b1;
                base <= last_word ? '0 : base + PLACE'(DEPTH);
                if (last_word) slot <= slot == STEP'(DEPTH - 1) ? '0 : slot + 1'b1;
            end
        end
        if (go) begin
            if (!filling) kept <= in_flags;
            if (last_word) age <= now == STEP'(DEPTH) ? now : now + 1'b1;
            out_last <= last_word;
            out_flags <= flags;
        end
    end

    for (genvar part = 0; part < PARTS; part++) begin : g_part
        logic [WIDTH-1:0] ring [DEPTH*WORDS];
        logic [WIDTH-1:0] fresh, direct, found;
        logic [STEP-1:0] back, from;
        logic at_once, too_early;  // what was read is this step's own, or from before the sequence
        wire unused = &{1'b0, from};
        assign fresh = filling ? '0 : in_fields[part*WIDTH+:WIDTH];
        assign back = steps[word][part*STEP+:STEP];
        assign from = slot >= back ? slot - back : slot + STEP'(DEPTH) - back;
        always_ff @(posedge clk) if (go) begin
            ring[base+PLACE'(slot)] <= fresh;
            found <= ring[base+PLACE'(from)];
            direct <= fresh;
            at_once <= back == '0;
            too_early <= back > now;
        end
        assign out_fields[part*WIDTH+:WIDTH] = at_once ? direct : too_early ? '0 : found;
    end
endmodule

`default_nettype wire
