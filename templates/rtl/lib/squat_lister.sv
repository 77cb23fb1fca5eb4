// Lists what is not zero: words of FIELDS numbers become beats of an event each.
//
// Field f of word w has the index w * FIELDS + f. With GROUPS, fields are channels of the positions of a plane, GROUPS
// words each, and the index names coordinates: STEP from a channel to the next, 1 from a position to the next in its line
// of WIDTH, DOWN from the last one of a line to the next line.
// A beat has the lowest field that is left in its word. The last beat of a step says so (`out_end`), and carries the
// step's flags; a step without events is one beat without events.
// Throughput: a word takes as many cycles as it has events, one at least.
`default_nettype none

module squat_lister #(
    parameter int FIELDS = 32,
    parameter int VALUE = 1,    // bits of a number; 1 where there are only spikes
    parameter int INDEX = 8,
    parameter int GROUPS = 0,
    parameter int STEP = 1,
    parameter int WIDTH = 1,
    parameter int DOWN = 1,
    parameter int FLAGS = 2
) (
    input  wire logic                    clk,
    input  wire logic                    rst,
    input  wire logic                    in_valid,
    output      logic                    in_ready,
    input  wire logic [FIELDS*VALUE-1:0] in_fields,
    input  wire logic                    in_last,  // the last word of a step
    input  wire logic [FLAGS-1:0]        in_flags,
    output      logic                    out_valid,
    input  wire logic                    out_ready,
    output      logic                    out_end,
    output      logic [FLAGS-1:0]        out_flags,
    output      logic                    out_keep,
    output      logic [INDEX-1:0]        out_index,
    output      logic [VALUE-1:0]        out_value
);
    logic loaded = 1'b0;
    logic last;
    logic [FLAGS-1:0] flags;
    logic [FIELDS*VALUE-1:0] fields;
    logic [FIELDS-1:0] left;    // fields that wait to be listed
    logic [FIELDS-1:0] lowest;  // that of this beat
    logic [INDEX-1:0] base;     // index of the first fields of this word, and of the next one
    logic [INDEX-1:0] next_base = '0;
    logic [FIELDS-1:0] found;
    logic emptied, turned;

    for (genvar f = 0; f < FIELDS; f++) begin : g_found
        assign found[f] = |in_fields[f*VALUE+:VALUE];
    end

    logic [INDEX-1:0] slot;
    always_comb begin
        slot = '0;
        out_value = '0;
        for (int f = 0; f < FIELDS; f++) begin
            if (lowest[f]) slot |= INDEX'(f * STEP);
            if (lowest[f]) out_value |= fields[f*VALUE+:VALUE];
        end
    end
    assign lowest = left & (~left + 1'b1);
    assign out_keep = left != '0;
    assign out_index = base + slot;

    logic [INDEX-1:0] following;  // index of the first fields of the word after the next one
    if (GROUPS == 0) begin : g_along
        assign following = next_base + INDEX'(FIELDS);
    end else begin : g_plane
        localparam int GROUP = GROUPS > 1 ? $clog2(GROUPS) : 1;
        localparam int COLUMN = WIDTH > 1 ? $clog2(WIDTH) : 1;
        logic [GROUP-1:0] group = '0;
        logic [COLUMN-1:0] column = '0;
        logic [INDEX-1:0] position = '0;  // index of its first channel
        logic [INDEX-1:0] next_position;
        logic last_group, last_column;
        assign last_group = group == GROUP'(GROUPS - 1);
        assign last_column = column == COLUMN'(WIDTH - 1);
        assign next_position = position + (last_column ? INDEX'(DOWN) : INDEX'(1));
        assign following = last_group ? next_position : next_base + INDEX'(FIELDS * STEP);
        always_ff @(posedge clk) begin
            if (rst) begin
                group <= '0;
                column <= '0;
                position <= '0;
            end else if (in_valid && in_ready) begin
                group <= in_last || last_group ? '0 : group + 1'b1;
                if (in_last) begin
                    column <= '0;
                    position <= '0;
                end else if (last_group) begin
                    column <= last_column ? '0 : column + 1'b1;
                    position <= next_position;
                end
            end
        end
    end

    assign emptied = (left & (left - 1'b1)) == '0;  // there is one event at most
    assign out_end = last && emptied;
    assign out_flags = flags;
    assign out_valid = loaded && (left != '0 || last);
    assign turned = emptied && (out_ready || !out_valid);  // this word is done
    assign in_ready = !loaded || turned;

    always_ff @(posedge clk) begin
        if (in_valid && in_ready) begin
            fields <= in_fields;
            left <= found;
            last <= in_last;
            flags <= in_flags;
            base <= next_base;
        end else if (out_ready) begin
            left <= left & ~lowest;
        end
        if (rst) begin
            loaded <= 1'b0;
            next_base <= '0;
        end else if (in_ready) begin
            loaded <= in_valid;
            if (in_valid) next_base <= in_last ? '0 : following;
        end
    end
endmodule

`default_nettype wire
