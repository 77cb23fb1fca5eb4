// Lists what is not zero: words of FIELDS numbers become beats of up to SIMD events, one of each bank.
//
// Field f of word w belongs to bank f % SIMD, where it has the index w * FIELDS / SIMD + f / SIMD. With GROUPS, fields
// are channels of the positions of a plane, GROUPS words each, and the index names coordinates: STEP from a channel to
// the next, 1 from a position to the next in its line of WIDTH, DOWN from the last one of a line to the next line.
// A beat has the lowest field of every bank that is left in its word. The last beat of a step says so (`out_end`), and carries the
// step's flags; a step without events is one beat without events.
// Throughput: a word takes as many cycles as its fullest bank has events, one at least.
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

    logic loaded = 1'b0;
    logic last;
    logic [FLAGS-1:0] flags;
    logic [FIELDS*VALUE-1:0] fields;
    logic [FIELDS-1:0] left;    // fields that wait to be listed
    logic [FIELDS-1:0] picked;  // those of this beat
    logic [INDEX-1:0] base;     // index of the first fields of this word, and of the next one
    logic [INDEX-1:0] next_base = '0;
    logic [FIELDS-1:0] found;
    logic emptied, turned;

    for (genvar f = 0; f < FIELDS; f++) begin : g_found
        assign found[f] = |in_fields[f*VALUE+:VALUE];
    end

    for (genvar b = 0; b < SIMD; b++) begin : g_bank
        logic [SLOTS-1:0] mine, lowest;
        for (genvar s = 0; s < SLOTS; s++) begin : g_slot
            assign mine[s] = left[s*SIMD+b];
            assign picked[s*SIMD+b] = lowest[s];
        end
        assign lowest = mine & (~mine + 1'b1);
        assign out_keep[b] = |mine;

        logic [INDEX-1:0] slot;
        logic [VALUE-1:0] value;
        always_comb begin
            slot = '0;
            value = '0;
            for (int s = 0; s < SLOTS; s++) begin
                if (lowest[s]) slot |= INDEX'(s * STEP);
                if (lowest[s]) value |= fields[(s*SIMD+b)*VALUE+:VALUE];
            end
        end
        assign out_index[b*INDEX+:INDEX] = base + slot;
        assign out_value[b*VALUE+:VALUE] = value;
    end

    logic [INDEX-1:0] following;  // index of the first fields of the word after the next one
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

    logic [SIMD-1:0] single;  // banks with one event at most
    for (genvar b = 0; b < SIMD; b++) begin : g_single
        logic [SLOTS-1:0] mine;
        for (genvar s = 0; s < SLOTS; s++) begin : g_slot
            assign mine[s] = left[s*SIMD+b];
        end
        assign single[b] = (mine & (mine - 1'b1)) == '0;
    end
    assign emptied = single == '1;
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
            left <= left & ~picked;
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
