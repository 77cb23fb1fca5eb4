// Maxima or sums over windows of a plane of sums, a row of PE channels a cycle.
//
// Reads a page of sums (`in_*`) window after window, and gives its own in the same way, doubled: while those of one step
// are read, by READERS with a port each, those of the next are made.
// Latency: a step takes LINES * COLUMNS * GROUPS * HIGH * WIDE cycles, and 3.
`default_nettype none

module squat_pool_sums #(
    parameter int PE = 1,
    parameter int GROUPS = 1,
    parameter bit MOST = 1'b1,       // maxima, else sums
    parameter int HEIGHT = 2,        // of the plane
    parameter int WIDTH = 2,
    parameter int LINES = 1,         // windows below each other
    parameter int COLUMNS = 1,       // and side by side
    parameter int HIGH = 2,          // of a window
    parameter int WIDE = 2,
    parameter int DOWN = 2,          // from window to window
    parameter int RIGHT = 2,
    parameter int ABOVE = 0,         // padding
    parameter int LEFT = 0,
    parameter int FROM = 12,         // bits of a sum that it takes
    parameter int SUM = 12,          // bits of one that it gives
    parameter int READERS = 1,
    parameter int FLAGS = 2,
    localparam int TAKEN = GROUPS * HEIGHT * WIDTH,
    localparam int ROWS = GROUPS * LINES * COLUMNS,
    localparam int TAKEN_ROW = TAKEN > 1 ? $clog2(TAKEN) : 1,
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    input  wire logic                      in_full,
    input  wire logic [FLAGS-1:0]          in_flags,
    output      logic [TAKEN_ROW-1:0]      in_row,
    output      logic                      in_read,
    input  wire logic [PE*FROM-1:0]        in_sums,
    output      logic                      in_done,
    output      logic [READERS-1:0]        out_full,
    output      logic [READERS*FLAGS-1:0]  out_flags,
    input  wire logic [READERS*ROW-1:0]    out_row,
    input  wire logic [READERS-1:0]        out_read,
    output      logic [READERS*PE*SUM-1:0] out_sums,
    input  wire logic [READERS-1:0]        out_done
);
    // Coordinates of a place may be outside the plane, by less than a window: signed, and a bit more than it needs.
    localparam int BITS = $clog2(HEIGHT + WIDTH + HIGH + WIDE + ABOVE + LEFT + DOWN * LINES + RIGHT * COLUMNS) + 2;
    localparam int GROUP = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam int PLACE = TAKEN_ROW + 1;
    typedef logic signed [BITS-1:0] place_t;

    // Which place of which window. `base` is the row of its first place, modulo 2**PLACE where that is outside.
    logic running = 1'b0;
    logic bank = 1'b0;
    logic [1:0] full = '0;
    logic [1:0] taken = '0;
    place_t top, left, down, right;
    logic [GROUP-1:0] group;
    logic [PLACE-1:0] line, base, row;  // rows of: the first window of a line, this window, this line of the window
    logic [PLACE-1:0] at;
    logic is_in, last_right, last_place, last_group, last_column, last_window, go, starts;
    assign starts = !running && in_full && !taken[bank] && !draining;
    assign go = running;
    assign is_in = top + down >= 0 && top + down < place_t'(HEIGHT) && left + right >= 0
                    && left + right < place_t'(WIDTH);
    assign last_right = right == place_t'(WIDE - 1);
    assign last_place = last_right && down == place_t'(HIGH - 1);
    assign last_group = group == GROUP'(GROUPS - 1);
    assign last_column = left == place_t'(RIGHT * (COLUMNS - 1) - LEFT);
    assign last_window = last_place && last_group && last_column && top == place_t'(DOWN * (LINES - 1) - ABOVE);
    assign in_row = TAKEN_ROW'(at);
    assign in_read = go && is_in;

    localparam int UPPER = -(ABOVE * WIDTH + LEFT) * GROUPS;  // row of the first place of the first window

    always_ff @(posedge clk) begin
        if (!running) begin
            top <= -place_t'(ABOVE);
            left <= -place_t'(LEFT);
            down <= '0;
            right <= '0;
            group <= '0;
            line <= PLACE'(UPPER);
            base <= PLACE'(UPPER);
            row <= PLACE'(UPPER);
            at <= PLACE'(UPPER);
        end else if (!last_place) begin
            right <= last_right ? '0 : right + 1'b1;
            if (last_right) begin
                down <= down + 1'b1;
                row <= row + PLACE'(WIDTH * GROUPS);
                at <= row + PLACE'(WIDTH * GROUPS);
            end else begin
                at <= at + PLACE'(GROUPS);
            end
        end else begin
            right <= '0;
            down <= '0;
            if (!last_group) begin
                group <= group + 1'b1;
                row <= base + PLACE'(group) + 1'b1;
                at <= base + PLACE'(group) + 1'b1;
            end else begin
                group <= '0;
                if (!last_column) begin
                    left <= left + place_t'(RIGHT);
                    base <= base + PLACE'(RIGHT * GROUPS);
                    row <= base + PLACE'(RIGHT * GROUPS);
                    at <= base + PLACE'(RIGHT * GROUPS);
                end else begin
                    left <= -place_t'(LEFT);
                    top <= top + place_t'(DOWN);
                    line <= line + PLACE'(DOWN * WIDTH * GROUPS);
                    base <= line + PLACE'(DOWN * WIDTH * GROUPS);
                    row <= line + PLACE'(DOWN * WIDTH * GROUPS);
                    at <= line + PLACE'(DOWN * WIDTH * GROUPS);
                end
            end
        end
    end

    // The sums of that place come, and are combined with those of the places before.
    logic s_valid = 1'b0;
    logic begun = 1'b0;
    logic s_inside, s_last_place, s_last, draining;
    logic [ROW-1:0] s_row = '0;
    logic [PE*SUM-1:0] best, combined;
    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        logic signed [SUM-1:0] found, old, met;
        assign found = SUM'($signed(in_sums[lane*FROM+:FROM]));
        assign old = best[lane*SUM+:SUM];
        if (MOST) begin : g_most
            assign met = found > old ? found : old;
        end else begin : g_sum
            assign met = old + found;
        end
        assign combined[lane*SUM+:SUM] = !s_inside ? (begun ? old : '0) : begun ? met : found;
    end
    assign in_done = s_valid && s_last;
    assign draining = s_valid;

    always_ff @(posedge clk) begin
        s_inside <= is_in;
        s_last_place <= last_place;
        s_last <= last_window;
        if (s_valid) begin
            begun <= !s_last_place && (begun || s_inside);
            best <= combined;
            if (s_last_place) s_row <= s_last ? '0 : s_row + 1'b1;
        end
        if (rst) begin
            running <= 1'b0;
            s_valid <= 1'b0;
            begun <= 1'b0;
            s_row <= '0;
        end else begin
            running <= running ? !last_window : starts;
            s_valid <= go;
        end
    end

    logic reading = 1'b0;           // the bank that is read
    logic [READERS-1:0] done = '0;  // readers that have taken this step
    logic released;
    logic [FLAGS-1:0] flags [2];
    assign released = (done | out_done) == '1;

    always_ff @(posedge clk) begin
        if (in_done) flags[bank] <= in_flags;
        if (rst) begin
            bank <= 1'b0;
            full <= '0;
            taken <= '0;
            done <= '0;
            reading <= 1'b0;
        end else begin
            if (starts) taken[bank] <= 1'b1;
            if (in_done) begin
                full[bank] <= 1'b1;
                bank <= !bank;
            end
            done <= released ? '0 : done | out_done;
            if (released) begin
                full[reading] <= 1'b0;
                taken[reading] <= 1'b0;
                reading <= !reading;
            end
        end
    end

    for (genvar r = 0; r < READERS; r++) begin : g_reader
        logic from;  // the bank of the row that was read
        logic [PE*SUM-1:0] word [2];
        for (genvar b = 0; b < 2; b++) begin : g_bank
            squat_ram #(.WIDTH(PE * SUM), .DEPTH(ROWS)) sums (
                .clk,
                .write(s_valid && s_last_place && bank == 1'(b)),
                .write_at(s_row),
                .written(combined),
                .read(out_read[r] && reading == 1'(b)),
                .read_at(out_row[r*ROW+:ROW]),
                .word(word[b])
            );
        end
        always_ff @(posedge clk) if (out_read[r]) from <= reading;
        assign out_sums[r*PE*SUM+:PE*SUM] = word[from];
        assign out_full[r] = full[reading] && !done[r];
        assign out_flags[r*FLAGS+:FLAGS] = flags[reading];
    end
endmodule

`default_nettype wire
