//! Socket options that nix has no name for.

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// Whoever comes is let in when they have said something, or after so many seconds
    /// (TCP_DEFER_ACCEPT, tcp(7)).
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    i32
);
sockopt_impl!(
    /// How much of what was sent may lie in the send buffer, and not be on its way, in bytes
    /// (TCP_NOTSENT_LOWAT; the kernel's page ip-sysctl, tcp_notsent_lowat).
    NotSentLowat,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_NOTSENT_LOWAT,
    u32
);
sockopt_impl!(
    /// What the kernel knows of a connection (TCP_INFO, tcp(7)).
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info
);
