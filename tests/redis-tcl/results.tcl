# How a unit of Redis' own tests is run in one Tcl process, which prints what became of each test: what Forebay's two
# ways of running them (../interop/driver.tcl, prelude.tcl) have in common.
#
# A result is a line: "ok", "err", "skip" or "ignore", a tab, the name, and after another tab what went wrong.

# Words of the suite that are ours: its own definitions of them are passed over.
set forebay_words {send_data_packet test_client_main}

rename proc tcl_proc
tcl_proc proc {name arguments body} {
    if {$name ni $::forebay_words} {
        uplevel 1 [list tcl_proc $name $arguments $body]
    }
}

# Results are printed instead of being sent to a second Tcl process.
tcl_proc send_data_packet {channel status data {elapsed 0}} {
    if {$status in {ok err skip ignore}} {
        set lines [split $data "\n"]
        set name [regsub { in tests/unit/[a-z0-9/-]*\.tcl$} [lindex $lines 0] {}]
        if {$status eq "err" && $name eq [lindex $lines 0]} {
            set name "(between its tests)"
        }
        puts "$status\t$name\t[join [lrange $lines 1 end] { | }]"
        flush stdout
    }
    # A test that broke off inside a transaction, with replies unread or in a pause would take the next ones with it.
    if {$status eq "err"} {
        catch {reconnect; r client unpause}
    }
}

# forebay_change_client is what is changed in the suite's client, before the unit begins.
tcl_proc test_client_main {_} {
    set ::test_server_fd stdout
    expr {srand(20261123)}
    forebay_change_client
    execute_test_file $::forebay_unit
    puts "end\t$::forebay_unit\t"
    exit 0
}

# Does not return: the unit's tests, but for those whose names are lines of the file `skipped`, and whose tags are not.
tcl_proc forebay_run {port unit tags skipped} {
    set ::forebay_unit $unit
    set ::argv [list --host 127.0.0.1 --port $port --single $unit --singledb --ignore-encoding \
        --ignore-digest --durable --tags $tags --client 0 --skipfile $skipped]
    uplevel #0 {source tests/test_helper.tcl}
}
