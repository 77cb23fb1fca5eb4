// Address events of a sensor as frames: each step gives what its events count, in rows of FIELDS numbers.
//
// A word of the stream is an event, its time in the upper half and its address in the lower, in the order of time; a
// word of ones ends the sequence. A step ends with the first event of a later one, which waits on the stream, or with the
// sequence. Counts stop at HIGH; addresses from SIZE on are dropped, as is what is left of a sequence when the next starts.
// Calls are those of `squat_reader`, but `idle` comes when the events of the last step are in.
// Counts have two pages, so that a step is counted while the one before leaves; a row that leaves is zero again behind it.
// Latency: 2 cycles from the end of a step to its first row; throughput: an event a cycle, a row a cycle. After a reset
// both pages are cleared, which takes WORDS cycles.
`default_nettype none

module squat_events #(
    parameter int WORDS = 1,   // rows of a frame
    parameter int FIELDS = 2,  // a power of two
    parameter int BITS = 1,    // of a count
    parameter int SIZE = 2,    // addresses
    parameter int HIGH = 1,    // the highest count
    parameter int WINDOW = 1   // ticks of a step
) (
    input  wire logic                   clk,
    input  wire logic                   rst,
    input  wire logic                   start,    // in a cycle in which `idle` is high; steps > 0
    input  wire logic                   restart,
    input  wire logic [31:0]            steps,
    output      logic                   idle,
    input  wire logic                   s_axis_tvalid,
    output      logic                   s_axis_tready,
    input  wire logic [31:0]            s_axis_tdata,
    output      logic                   out_valid,
    input  wire logic                   out_ready,
    output      logic [FIELDS*BITS-1:0] out_fields,
    output      logic                   out_last,
    output      logic [1:0]             out_flags
);
    localparam int ROW = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam int WIDTH = FIELDS * BITS;
    localparam int FIELD = FIELDS > 1 ? $clog2(FIELDS) : 0;
    localparam logic [16:0] LAST = 17'h10000;  // behind all times

    logic running = 1'b0;
    logic begun = 1'b0;     // there was a call since the reset; the first one starts a sequence whatever it says
    logic drops = 1'b0;     // what is left of the sequence before is in front
    logic ended = 1'b1;     // no event of the sequence is left
    logic opens;            // a call that starts now starts a sequence
    logic first, starts;    // no step of the call has ended; it starts a sequence
    logic [31:0] wanted, number;
    logic [16:0] limit;     // the step takes events before this time
    logic [16:0] next_limit;
    logic counting, is_end, take, ends, last_step;

    logic clearing = 1'b1;
    logic [ROW-1:0] cleared = '0;
    logic filling = 1'b0;   // the page that is counted in, and the one that leaves
    logic giving = 1'b0;
    logic [1:0] full = '0;  // pages that are counted and have not been read
    logic [1:0] taken = '0; // and those that have not left
    logic [1:0] flags [2];

    // Events come in.
    assign idle = !running;
    assign opens = restart || !begun;
    assign last_step = number == wanted;
    assign counting = running && !drops && !clearing && taken != 2'd2;
    assign is_end = s_axis_tdata == '1;
    assign take = counting && !ended && s_axis_tvalid && !is_end && {1'b0, s_axis_tdata[31:16]} < limit;
    assign ends = counting && !take && (ended || s_axis_tvalid);
    assign s_axis_tready = drops || take || (ends && !ended && is_end);
    assign next_limit = limit >= LAST - 17'(WINDOW) ? LAST : limit + 17'(WINDOW);

    always_ff @(posedge clk) begin
        if (rst) begin
            running <= 1'b0;
            begun <= 1'b0;
            drops <= 1'b0;
            ended <= 1'b1;
            filling <= 1'b0;
        end else if (!running) begin
            running <= start;
            first <= 1'b1;
            starts <= opens;
            if (start) begun <= 1'b1;
            if (start && opens) begin
                drops <= !ended;
                ended <= 1'b0;
                limit <= 17'(WINDOW);
            end
            wanted <= steps;
            number <= 32'd1;
        end else if (drops) begin
            drops <= !(s_axis_tvalid && is_end);
        end else if (ends) begin
            if (!ended && is_end) ended <= 1'b1;
            first <= 1'b0;
            limit <= next_limit;
            number <= number + 1'b1;
            filling <= !filling;
            running <= !last_step;
        end
        if (ends) flags[filling] <= {last_step, first && starts};
    end

    // Stage 1: the row that is counted in, of which the event before may be on its way to the memory.
    logic known;
    logic [ROW-1:0] at;
    logic s1_valid = 1'b0;
    logic s1_same;
    logic [ROW-1:0] s1_row;
    logic [FIELDS-1:0] s1_field;
    logic [WIDTH-1:0] known_counts, counted_row, newest;
    logic [2*WIDTH-1:0] words;  // that each page gives
    assign at = ROW'(s_axis_tdata[15:0] >> FIELD);
    assign known = 32'(s_axis_tdata[15:0]) < SIZE;
    assign known_counts = s1_same ? newest : filling ? words[WIDTH+:WIDTH] : words[0+:WIDTH];
    for (genvar f = 0; f < FIELDS; f++) begin : g_field
        logic [BITS-1:0] count;
        assign count = known_counts[f*BITS+:BITS];
        assign counted_row[f*BITS+:BITS] = s1_field[f] && count != BITS'(HIGH) ? count + 1'b1 : count;
        always_ff @(posedge clk) s1_field[f] <= 32'(s_axis_tdata[15:0]) % FIELDS == f;
    end
    always_ff @(posedge clk) begin
        s1_valid <= take && known && !rst;
        s1_row <= at;
        s1_same <= s1_valid && s1_row == at;
        if (s1_valid) newest <= counted_row;
    end

    // Rows leave.
    logic held = 1'b0;
    logic shown;            // page of the row that is held
    logic [ROW-1:0] row = '0;
    logic [ROW-1:0] held_row;
    logic fresh = 1'b0;     // it was read in the cycle before, and is cleared
    logic issue, last_row, left;
    assign issue = full != '0 && (!held || out_ready);
    assign last_row = row == ROW'(WORDS - 1);
    assign left = held && out_ready && out_last;
    assign out_valid = held;
    assign out_fields = shown ? words[WIDTH+:WIDTH] : words[0+:WIDTH];

    always_ff @(posedge clk) begin
        if (rst) begin
            held <= 1'b0;
            row <= '0;
            fresh <= 1'b0;
            full <= '0;
            taken <= '0;
            giving <= 1'b0;
            clearing <= 1'b1;
            cleared <= '0;
        end else begin
            held <= issue || (held && !out_ready);
            fresh <= issue;
            full <= full + 2'(ends) - 2'(issue && last_row);
            taken <= taken + 2'(ends) - 2'(left);
            if (issue) row <= last_row ? '0 : row + 1'b1;
            if (issue && last_row) giving <= !giving;
            if (clearing) begin
                cleared <= cleared == ROW'(WORDS - 1) ? '0 : cleared + 1'b1;
                clearing <= cleared != ROW'(WORDS - 1);
            end
        end
        if (issue) begin
            shown <= giving;
            held_row <= row;
            out_last <= last_row;
            out_flags <= flags[giving];
        end
    end

    for (genvar p = 0; p < 2; p++) begin : g_page
        logic counted, emptied, shows;
        assign counted = s1_valid && filling == p[0];
        assign emptied = fresh && shown == p[0];
        assign shows = issue && giving == p[0];
        squat_ram #(.WIDTH(WIDTH), .DEPTH(WORDS)) counts (
            .clk,
            .write(clearing || counted || emptied),
            .write_at(clearing ? cleared : counted ? s1_row : held_row),
            .written(counted ? counted_row : '0),
            .read(shows || (take && filling == p[0])),
            .read_at(shows ? row : at),
            .word(words[p*WIDTH+:WIDTH])
        );
    end
endmodule

`default_nettype wire
