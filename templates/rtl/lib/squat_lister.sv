// Lists what is not zero: words of FIELDS numbers become beats of up to SIMD events, one of each bank.
//
// Field f of word w belongs to bank f % SIMD, where it has the index w * FIELDS / SIMD + f / SIMD. With GROUPS, fields
// are channels of the positions of a plane, GROUPS words each, and the index names coordinates: STEP from a channel to
// the next, 1 from a position to the next in its line of WIDTH, DOWN from the last one of a line to the next line.
// A beat has the lowest field of every bank that is left in its word. The last beat of a step says so (`out_end`), and carries the
// step's flags; a step without events is one beat without events.
// Latency: 2 cycles. Throughput: a word takes as many cycles as its fullest bank has events, one at least.
`default_nettype none

module squat_lister #(
    parameter int FIELDS = 32,  // a multiple of SIMD
    parameter int VALUE = 1,    // bits of a number; 1 where there are only spikes
    parameter int SIMD = 1,
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
    output      logic [SIMD-1:0]         out_keep,
    output      logic [SIMD*INDEX-1:0]   out_index,
    output      logic [SIMD*VALUE-1:0]   out_value
);
    localparam int SLOTS = FIELDS / SIMD;  // fields of a bank

    // A word that waits, and the one that is listed: what is `now` of a beat, and the `rest`. Both are registers, as is
    // whether there is `more` than this beat, so that no search for events stands before or behind another one.
    logic waits = 1'b0;
    logic waiting_last;
    logic [FLAGS-1:0] waiting_flags;
    logic [FIELDS*VALUE-1:0] waiting;
    logic valid = 1'b0;
    logic last;
    logic [FLAGS-1:0] flags;
    logic [FIELDS-1:0] now, rest;
    logic [SIMD-1:0] more;
    logic [FIELDS-1:0] found, wanted, lowest, after;  // of what waits, of what the next beat is of
    logic [SIMD-1:0] several;
    logic moves;                // what waits is listed from now on
    logic [INDEX-1:0] base;     // index of the first fields of the word that is listed, and of the one that waits
    logic [INDEX-1:0] next_base = '0;

    for (genvar f = 0; f < FIELDS; f++) begin : g_found
        assign found[f] = |waiting[f*VALUE+:VALUE];
    end
    assign wanted = moves ? found : rest;

    // Whether two are set or more, by halves.
    function automatic logic two_of(input logic [SLOTS-1:0] given);
        logic [SLOTS-1:0] some;
        some = given;
        two_of = 1'b0;
        for (int half = 1; half < SLOTS; half *= 2) begin
            for (int at = 0; at + half < SLOTS; at += 2 * half) begin
                two_of |= some[at] & some[at+half];
                some[at] |= some[at+half];
            end
        end
    endfunction

    for (genvar b = 0; b < SIMD; b++) begin : g_bank
        logic [SLOTS-1:0] mine, first, shown;
        for (genvar s = 0; s < SLOTS; s++) begin : g_slot
            assign mine[s] = wanted[s*SIMD+b];
            assign lowest[s*SIMD+b] = first[s];
            assign shown[s] = now[s*SIMD+b];
        end
        assign first = mine & (~mine + 1'b1);
        assign several[b] = two_of(mine);
        always_ff @(posedge clk) if (moves || out_ready) out_keep[b] <= |mine;

        logic [INDEX-1:0] slot;
        always_comb begin
            slot = '0;
            for (int s = 0; s < SLOTS; s++) if (shown[s]) slot |= INDEX'(s * STEP);
        end
        // Of a power of two slots the index of the first one is a multiple.
        assign out_index[b*INDEX+:INDEX] = GROUPS == 0 && STEP == 1 && (SLOTS & (SLOTS - 1)) == 0 ? base | slot : base + slot;
    end
    assign after = wanted & ~lowest;

    if (VALUE == 1) begin : g_spikes
        assign out_value = out_keep;
    end else begin : g_numbers
        logic [FIELDS*VALUE-1:0] fields;
        always_ff @(posedge clk) if (moves) fields <= waiting;
        always_comb begin
            out_value = '0;
            for (int f = 0; f < FIELDS; f++) if (now[f]) out_value[f%SIMD*VALUE+:VALUE] |= fields[f*VALUE+:VALUE];
        end
    end

    logic [INDEX-1:0] following;  // of the word behind the one that waits
    if (GROUPS == 0) begin : g_along
        assign following = next_base + INDEX'(SLOTS);
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
        assign following = last_group ? next_position : next_base + INDEX'(SLOTS * STEP);
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
    assign out_end = last && more == '0;
    assign out_flags = flags;
    assign moves = waits && (!valid || (out_ready && more == '0));
    assign in_ready = !waits || moves;

    always_ff @(posedge clk) begin
        if (in_valid && in_ready) begin
            waiting <= in_fields;
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
            rest <= after;
            more <= several;
        end
        if (rst) begin
            waits <= 1'b0;
            valid <= 1'b0;
            next_base <= '0;
        end else begin
            if (in_ready) waits <= in_valid;
            if (moves) next_base <= waiting_last ? '0 : following;
            if (moves) valid <= found != '0 || waiting_last;
            else if (out_ready && more == '0) valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
