//! Two indices that walk at random, and the indicators drawn from them.

use fastrand::Rng;

/// One index future: where it is and what the indicators say.
#[derive(Debug, Clone)]
pub struct Instrument {
    /// Name in every event.
    pub symbol: &'static str,
    /// Contracts are traded in multiples of this.
    pub lot: i64,
    /// Last price, on the exchange's grid of 0.05.
    pub price: f64,
    /// Fast and slow exponential averages of the price.
    pub fast: f64,
    /// See `fast`.
    pub slow: f64,
    /// Average absolute move a tick.
    pub atr: f64,
    /// Average rise and fall a tick, of which RSI is the ratio.
    rise: f64,
    fall: f64,
    /// Around where it walks.
    anchor: f64,
    /// Moves persist for a while, so that averages cross and trends can be traded.
    drift: f64,
}

impl Instrument {
    fn new(symbol: &'static str, anchor: f64, lot: i64) -> Self {
        let usual = anchor * 0.000_1;
        let (rise, fall) = (usual / 2.0, usual / 2.0);
        Self { symbol, lot, price: anchor, fast: anchor, slow: anchor, atr: usual, rise, fall, anchor, drift: 0.0 }
    }

    fn step(&mut self, rng: &mut Rng) {
        self.drift = 0.92 * self.drift + self.anchor * 0.000_05 * noise(rng);
        let back = (self.anchor - self.price) * 0.002;
        let next = to_grid(self.price + self.drift + back + self.anchor * 0.000_06 * noise(rng));
        let change = next - self.price;
        self.price = next;
        self.fast += (next - self.fast) * 0.2;
        self.slow += (next - self.slow) * 0.09;
        self.atr += (change.abs() - self.atr) / 14.0;
        self.rise += (change.max(0.0) - self.rise) / 14.0;
        self.fall += ((-change).max(0.0) - self.fall) / 14.0;
    }

    /// Relative strength index, 0 to 100 (Wilder, 14 ticks).
    pub fn rsi(&self) -> f64 {
        100.0 * self.rise / (self.rise + self.fall).max(f64::MIN_POSITIVE)
    }

    /// How far the averages are apart, in moves a tick: what a trend follower goes by.
    pub fn trend(&self) -> f64 {
        (self.fast - self.slow) / self.atr.max(0.05)
    }
}

/// Both instruments, in step.
#[derive(Debug, Clone)]
pub struct Market {
    rng: Rng,
    /// NIFTY around 24,500 and BANKNIFTY around 51,000.
    pub instruments: [Instrument; 2],
}

impl Market {
    /// The market of this seed, after a while, so that the indicators mean something.
    pub fn new(seed: u64) -> Self {
        let instruments = [Instrument::new("NIFTY", 24_500.0, 75), Instrument::new("BANKNIFTY", 51_000.0, 35)];
        let mut market = Self { rng: Rng::with_seed(seed), instruments };
        for _ in 0..100 {
            market.step();
        }
        market
    }

    /// The next tick.
    pub fn step(&mut self) {
        for instrument in &mut self.instruments {
            instrument.step(&mut self.rng);
        }
    }
}

/// Near enough to a normal variable: four uniform ones, of variance 1 together.
fn noise(rng: &mut Rng) -> f64 {
    let sum: f64 = (0..4).map(|_| rng.f64() - 0.5).sum();
    sum * 3f64.sqrt()
}

/// Rounds to the exchange's price grid.
pub fn to_grid(price: f64) -> f64 {
    rounded((price * 20.0).round() / 20.0)
}

/// Rounds to two decimals.
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_stay_around_their_anchors_and_on_the_grid() {
        for seed in 0..20 {
            let mut market = Market::new(seed);
            for _ in 0..5_000 {
                market.step();
                for Instrument { symbol, price, anchor, .. } in &market.instruments {
                    assert!((price / anchor - 1.0).abs() < 0.05, "{symbol} at {price} with seed {seed}");
                    assert!((price * 20.0 - (price * 20.0).round()).abs() < 1e-6, "{price}");
                }
                assert!(market.instruments.iter().all(|i| (0.0..=100.0).contains(&i.rsi()) && i.trend().is_finite()));
            }
        }
    }
}
