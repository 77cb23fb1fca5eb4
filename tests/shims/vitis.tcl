# Stands in for Vitis HLS under tclsh: tclsh vitis.tcl SCRIPT. With UNIFIED set, it has open_component as newer tools do.
proc need {condition text} { if {![uplevel 1 [list expr $condition]]} { error "STUB: $text" } }
set state ""
proc say {args} { puts "DID $args" }

if {[info exists env(UNIFIED)]} {
    proc open_component {args} {
        need {[lrange $args 1 end] eq "build -flow_target vivado" && [lindex $args 0] eq "-reset"} "open_component $args"
        set ::place build/hls/impl/ip
        set ::state open
    }
} else {
    proc open_project {args} { need {$args eq "-reset build"} "open_project $args"; set ::state project }
    proc open_solution {args} {
        need {$::state eq "project" && $args eq "-reset solution1 -flow_target vivado"} "open_solution $args"
        set ::place build/solution1/impl/ip
        set ::state open
    }
}
proc set_top {name} { need {$::state ne ""} "no project"; set ::top $name }
proc add_files {args} {
    need {$::state ne ""} "no project"
    set files [lsearch -all -inline -glob $args {[a-z]*}]
    need {[file exists [lindex $files 0]]} "no [lindex $files 0]"
}
proc set_part {name} { need {$::state eq "open" && $name eq $::env(PART)} "set_part $name" }
proc create_clock {args} { need {[lindex $args 0] eq "-period" && [lrange $args 2 end] eq "-name default"} $args }
proc set_clock_uncertainty {how clock} { need {[string match *% $how] && $clock eq "default"} "$how $clock" }
proc config_rtl {args} { need {[lindex $args 0] eq "-reset" && [lindex $args 1] in {none control state all}} $args }
proc config_compile {args} { need {[lindex $args 0] eq "-name_max_length" && [string is integer [lindex $args 1]]} $args }
proc csim_design {} { say csim }
proc csynth_design {} { need {$::top eq "squat_top"} $::top; say csynth; set ::state synthesized }
proc cosim_design {args} { need {$::state eq "synthesized" && $args eq "-rtl verilog -trace_level none"} $args; say cosim }
proc export_design {args} {
    need {$::state eq "synthesized" && $args eq "-format ip_catalog -version 1.0.0"} "export_design $args"
    file mkdir $::place
    close [open $::place/component.xml w]
    say export
}

source [lindex $argv 0]
