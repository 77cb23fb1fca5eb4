// Lists what is not zero: words of FIELDS numbers become beats of an event each.
//
// Field f of word w has the index w * FIELDS + f. With GROUPS, fields are channels of the positions of a plane, GROUPS
// words each, and the index names coordinates: STEP from a channel to the next, 1 from a position to the next in its line
// of WIDTH, DOWN from the last one of a line to the next line.
// A beat has the lowest field that is left in its word. The last beat of a step says so (`out_end`), and carries the
// step's flags; a step without events is one beat without events.
// Latency: 2 cycles. Throughput: a word takes as many cycles as it has events, one at least.
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
    // A word that waits, and the one that is listed: the event of this beat (`now`), and the `rest`. What is asked of either
    // is a register, so that no search for events stands before or behind another one.
    logic waits = 1'b0;
    logic waiting_last, waiting_any, waiting_two;  // it has an event, and more than one
    logic [FLAGS-1:0] waiting_flags;
    logic [FIELDS*VALUE-1:0] waiting;
    logic valid = 1'b0;
    logic more;                 // there is a rest
    logic last;
    logic [FLAGS-1:0] flags;
    logic [FIELDS-1:0] now, rest;
    logic [FIELDS-1:0] comes, found, wanted, lowest;  // of what comes in, of what waits, of what the next beat is of
    logic moves;                // what waits is listed from now on
    logic [INDEX-1:0] base;     // index of the first fields of the word that is listed, and of the one that waits
    logic [INDEX-1:0] next_base = '0;

    for (genvar f = 0; f < FIELDS; f++) begin : g_found
        assign comes[f] = |in_fields[f*VALUE+:VALUE];
        assign found[f] = |waiting[f*VALUE+:VALUE];
    end
    assign wanted = moves ? found : rest;
    assign lowest = wanted & (~wanted + 1'b1);

    // Whether two are set or more, by halves.
    function automatic logic two_of(input logic [FIELDS-1:0] given);
        logic [FIELDS-1:0] some;
        some = given;
        two_of = 1'b0;
        for (int half = 1; half < FIELDS; half *= 2) begin
            for (int at = 0; at + half < FIELDS; at += 2 * half) begin
                two_of |= some[at] & some[at+half];
                some[at] |= some[at+half];
            end
        end
    endfunction

    // The index of the first field is a multiple of their number, where that is a power of two.
    localparam bit ALIGNED = GROUPS == 0 && STEP == 1 && (FIELDS & (FIELDS - 1)) == 0;
    logic [INDEX-1:0] slot;
    always_comb begin
        slot = '0;
        for (int f = 0; f < FIELDS; f++) if (now[f]) slot |= INDEX'(f * STEP);
    end
    assign out_index = ALIGNED ? base | slot : base + slot;

    if (VALUE == 1) begin : g_spikes
        assign out_value = out_keep;
    end else begin : g_numbers
        logic [FIELDS*VALUE-1:0] fields;
        always_ff @(posedge clk) if (moves) fields <= waiting;
        always_comb begin
            out_value = '0;
            for (int f = 0; f < FIELDS; f++) if (now[f]) out_value |= fields[f*VALUE+:VALUE];
        end
    end

    logic [INDEX-1:0] following;  // of the word behind the one that waits
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
            end else if (moves) begin
                group <= waiting_last || last_group ? '0 : group + 1'b1;
                if (waiting_last) begin
                    column <= '0;
                    position <= '0;
                end else if (last_group) begin
                    column <= last_column ? '0 : column + 1'b1;
                    position <= next_position;
                end
            end
        end
    end

    assign out_valid = valid;
    assign out_end = last && !more;
    assign out_flags = flags;
    assign moves = waits && (!valid || (out_ready && !more));
    assign in_ready = !waits || moves;

    always_ff @(posedge clk) begin
        if (in_valid && in_ready) begin
            waiting <= in_fields;
            waiting_any <= comes != '0;
            waiting_two <= two_of(comes);
            waiting_last <= in_last;
            waiting_flags <= in_flags;
        end
        if (moves) begin
            last <= waiting_last;
            flags <= waiting_flags;
            base <= next_base;
        end
        if (moves || out_ready) begin
            now <= lowest;
            rest <= wanted & ~lowest;
            out_keep <= moves ? waiting_any : more;
            more <= moves ? waiting_two : two_of(rest);
        end
        if (rst) begin
            waits <= 1'b0;
            valid <= 1'b0;
            next_base <= '0;
        end else begin
            if (in_ready) waits <= in_valid;
            if (moves) next_base <= waiting_last ? '0 : following;
            if (moves) valid <= waiting_any || waiting_last;
            else if (out_ready && !more) valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
