// A score a class, updated once a step by the rows of the output neurons, and sent as one packet at the end of a call.
//
// MODE 0: spikes since the sequence began; 1: steps since the first spike, that step included; 2: highest state index;
// 3: state index after the last step; 4: sum of WORTH[state]. In mode 4 a score is two words, the low one first.
`default_nettype none

module squat_scores #(
    parameter int PE = 1,
    parameter int GROUPS = 1,    // rows of a position
    parameter int POSITIONS = 1,
    parameter int CLASSES = 10,
    parameter int STATE = 2,
    parameter int STATES = 4,
    parameter int CODE = STATE,  // bits in which a state stands, in the lowest ones
    parameter int MODE = 0,
    parameter     WORTH = ""
) (
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire logic                in_valid,
    output      logic                in_ready,
    input  wire logic                in_last,
    input  wire logic [1:0]          in_flags,
    input  wire logic [PE-1:0]       in_spikes,
    input  wire logic [PE*CODE-1:0]  in_states,
    output      logic                m_axis_tvalid,
    input  wire logic                m_axis_tready,
    output      logic [31:0]         m_axis_tdata,
    output      logic                m_axis_tlast
);
    localparam int WIDE = MODE == 4 ? 64 : 32;
    localparam int ROWS = GROUPS * POSITIONS;
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int LANE = PE > 1 ? $clog2(PE) : 1;
    localparam int POSITION = POSITIONS > 1 ? $clog2(POSITIONS) : 1;
    localparam int CLASS = CLASSES > 1 ? $clog2(CLASSES) : 1;

    logic [PE*WIDE-1:0] scores [ROWS];
    logic [ROW-1:0] row = '0;
    logic sending = 1'b0;
    logic [CLASS-1:0] sent = '0;  // classes
    logic high;                   // the upper half of a score comes next

    logic [PE*WIDE-1:0] updated;
    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic [WIDE-1:0] old, renewed;
        logic [STATE-1:0] state;
        assign old = in_flags[0] ? '0 : scores[row][lane*WIDE+:WIDE];
        assign state = in_states[lane*CODE+:STATE];
        wire unused = &{1'b0, in_states, state, old, in_spikes[lane]};  // each by its mode
        if (MODE == 0) begin : g_count
            assign renewed = old + WIDE'(in_spikes[lane]);
        end else if (MODE == 1) begin : g_first
            assign renewed = old + WIDE'(in_spikes[lane] || old != '0);
        end else if (MODE == 2) begin : g_highest
            assign renewed = WIDE'(state) > old ? WIDE'(state) : old;
        end else if (MODE == 3) begin : g_last
            assign renewed = WIDE'(state);
        end else begin : g_mean
            logic [WIDE-1:0] worth [STATES];
            initial $readmemh(WORTH, worth);
            assign renewed = old + worth[state];
        end
        assign updated[lane*WIDE+:WIDE] = renewed;
    end

    assign in_ready = !sending;
    assign m_axis_tvalid = sending;
    assign m_axis_tlast = sent == CLASS'(CLASSES - 1) && (WIDE == 32 || high);

    // The score that is sent: class = (group * PE + lane) * POSITIONS + position, in row = position * GROUPS + group.
    logic [ROW-1:0] from = '0;
    logic [ROW-1:0] group = '0;
    logic [LANE-1:0] lane_sent = '0;
    logic [POSITION-1:0] position = '0;
    logic next_lane, next_group;
    assign next_lane = position == POSITION'(POSITIONS - 1);
    assign next_group = next_lane && lane_sent == LANE'(PE - 1);
    always_ff @(posedge clk) begin
        if (!sending) begin
            {from, group} <= '0;
            lane_sent <= '0;
            position <= '0;
        end else if (m_axis_tready && (WIDE == 32 || high)) begin
            position <= next_lane ? '0 : position + 1'b1;
            lane_sent <= next_group ? '0 : next_lane ? lane_sent + 1'b1 : lane_sent;
            if (next_group) group <= group + 1'b1;
            from <= next_group ? group + 1'b1 : next_lane ? group : from + ROW'(GROUPS);
        end
    end
    logic [PE*WIDE-1:0] whole;
    logic [63:0] score;
    assign whole = scores[from];
    assign score = 64'(whole[32'(lane_sent)*WIDE+:WIDE]);
    assign m_axis_tdata = high ? score[63:32] : score[31:0];

    always_ff @(posedge clk) begin
        if (in_valid && in_ready) scores[row] <= updated;
        if (rst) begin
            row <= '0;
            sending <= 1'b0;
            sent <= '0;
            high <= 1'b0;
        end else if (in_valid && in_ready) begin
            row <= in_last ? '0 : row + 1'b1;
            sending <= in_last && in_flags[1];
            sent <= '0;
            high <= 1'b0;
        end else if (m_axis_tvalid && m_axis_tready) begin
            high <= WIDE == 64 && !high;
            if (WIDE == 32 || high) sent <= sent + 1'b1;
            if (m_axis_tlast) sending <= 1'b0;
        end
    end
endmodule

`default_nettype wire
