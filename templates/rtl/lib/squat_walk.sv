// The walk of every event over the windows of a kernel that it lies in, a visit a cycle.
//
// An event's index has its coordinates side by side: {channel, y, x}. A visit says which word of weights belongs to it
// (`out_word`) and which place it reaches (`out_place`), each the sum of what three tables say of channel, y and x, and
// of steps from tap to tap and group to group. Tables of y and x say how many taps there are, too: none is no visit.
// As the walk of a pooling, `out_place` is the index of an event of a window.
// The last beat of a step says so (`out_end`), and may be without a visit (`out_keep`).
// Latency: 2 cycles; throughput: a visit a cycle, no gap between events; an event without visits takes a cycle, or
// none while another walks.
`default_nettype none

module squat_walk #(
    parameter int CHANNELS = 1,
    parameter int HEIGHT = 1,
    parameter int WIDTH = 1,
    parameter int VALUE = 1,        // bits of an event's number, which every visit carries
    parameter int TAPS = 1,         // bits of a number of taps along an axis
    parameter int WORD = 1,         // bits of an address of weights
    parameter int PLACE = 1,        // bits of a place
    parameter int SPAN = 1,         // groups at one output, side by side
    parameter int WORD_RIGHT = 1,   // from the last group of a tap to the first of the next one along x
    parameter int PLACE_RIGHT = 1,
    parameter int WORD_DOWN = 1,    // from the first tap of a line to the first of the next one
    parameter int PLACE_DOWN = 1,
    parameter int FLAGS = 2,
    parameter     CHANNEL = "",     // files of the tables: {word, place} of each channel
    parameter     LINE = "",        // {taps, word, place} of each y
    parameter     COLUMN = "",       // and of each x
    localparam int CHANNEL_BITS = CHANNELS > 1 ? $clog2(CHANNELS) : 0,
    localparam int Y_BITS = HEIGHT > 1 ? $clog2(HEIGHT) : 0,
    localparam int X_BITS = WIDTH > 1 ? $clog2(WIDTH) : 0,
    localparam int BITS = CHANNEL_BITS + Y_BITS + X_BITS,
    localparam int INDEX = BITS > 0 ? BITS : 1
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             in_valid,
    output      logic             in_ready,
    input  wire logic             in_end,
    input  wire logic [FLAGS-1:0] in_flags,
    input  wire logic             in_keep,
    input  wire logic [INDEX-1:0] in_index,
    input  wire logic [VALUE-1:0] in_value,
    output      logic             out_valid = 1'b0,
    input  wire logic             out_ready,
    output      logic             out_end,
    output      logic [FLAGS-1:0] out_flags,
    output      logic             out_keep,
    output      logic [WORD-1:0]  out_word,
    output      logic [PLACE-1:0] out_place,
    output      logic [VALUE-1:0] out_value
);
    localparam int GROUP = SPAN > 1 ? $clog2(SPAN) : 1;

    logic [WORD+PLACE-1:0] channels [CHANNELS];
    logic [TAPS+WORD+PLACE-1:0] lines [HEIGHT];
    logic [TAPS+WORD+PLACE-1:0] columns [WIDTH];
    initial $readmemh(CHANNEL, channels);
    initial $readmemh(LINE, lines);
    initial $readmemh(COLUMN, columns);

    // The next event, looked up.
    logic d_valid = 1'b0;
    logic d_keep, d_end, d_none, skip, load, last;
    logic [FLAGS-1:0] d_flags;
    logic [VALUE-1:0] d_value;
    logic [WORD-1:0] d_word, channel_word, line_word, column_word;
    logic [PLACE-1:0] d_place, channel_place, line_place, column_place;
    logic [TAPS-1:0] d_lines, d_columns;

    logic [31:0] at;
    assign at = 32'(in_index);
    assign d_none = !d_keep || d_lines == '0 || d_columns == '0;
    assign skip = d_valid && d_none && !d_end;
    assign load = d_valid && !skip && (!out_valid || (last && out_ready));
    assign in_ready = !d_valid || skip || load;
    assign d_word = channel_word + line_word + column_word;
    assign d_place = channel_place + line_place + column_place;

    always_ff @(posedge clk) begin
        if (in_ready) begin
            d_keep <= in_keep;
            d_end <= in_end;
            d_flags <= in_flags;
            d_value <= in_value;
            {channel_word, channel_place} <= channels[CHANNELS > 1 ? at >> (Y_BITS + X_BITS) : 0];
            {d_lines, line_word, line_place} <= lines[(at >> X_BITS) % (1 << Y_BITS)];
            {d_columns, column_word, column_place} <= columns[at % (1 << X_BITS)];
        end
        if (rst) d_valid <= 1'b0;
        else if (in_ready) d_valid <= in_valid;
    end

    // The event that walks.
    logic ends, more_groups, more_columns, more_lines;
    logic [GROUP-1:0] group;
    logic [TAPS-1:0] right, down;  // taps that are left along x, and lines of them
    logic [TAPS-1:0] width;        // taps of a line, less one
    logic [WORD-1:0] first_word;   // of this line
    logic [PLACE-1:0] first_place;

    assign more_groups = SPAN > 1 && out_keep && group != GROUP'(SPAN - 1);
    assign more_columns = right != '0;
    assign more_lines = down != '0;
    assign last = !more_groups && !more_columns && !more_lines;
    assign out_end = ends && last;

    always_ff @(posedge clk) begin
        if (rst) out_valid <= 1'b0;
        else if (load) out_valid <= 1'b1;
        else if (last && out_ready) out_valid <= 1'b0;

        if (load) begin
            ends <= d_end;
            out_flags <= d_flags;
            out_keep <= !d_none;
            out_value <= d_value;
            out_word <= d_word;
            out_place <= d_place;
            first_word <= d_word;
            first_place <= d_place;
            group <= '0;
            right <= d_none ? '0 : d_columns - 1'b1;
            width <= d_columns - 1'b1;
            down <= d_none ? '0 : d_lines - 1'b1;
        end else if (out_valid && out_ready) begin
            if (more_groups) begin
                group <= group + 1'b1;
                out_word <= out_word + 1'b1;
                out_place <= out_place + 1'b1;
            end else begin
                group <= '0;
                if (more_columns) begin
                    right <= right - 1'b1;
                    out_word <= out_word + WORD'(WORD_RIGHT);
                    out_place <= out_place + PLACE'(PLACE_RIGHT);
                end else if (more_lines) begin
                    down <= down - 1'b1;
                    right <= width;
                    out_word <= first_word + WORD'(WORD_DOWN);
                    out_place <= first_place + PLACE'(PLACE_DOWN);
                    first_word <= first_word + WORD'(WORD_DOWN);
                    first_place <= first_place + PLACE'(PLACE_DOWN);
                end
            end
        end
    end
endmodule

`default_nettype wire
