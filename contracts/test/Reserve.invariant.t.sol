// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FixedSupplyToken} from "../bench/FixedSupplyToken.sol";
import {ReservePayer} from "../src/ReservePayer.sol";
import {SettlementBase} from "../src/SettlementBase.sol";
import {SettlementActor, SettlementInvariants} from "./SettlementActor.sol";
import {vm} from "./Vm.sol";

/// @dev Beside settling: funds the reserve and withdraws from it.
contract ReserveActor is SettlementActor {
    uint256 public fundedWei;
    uint256 public withdrawnWei;

    ReservePayer private immutable payer;

    constructor(
        ReservePayer payer_,
        FixedSupplyToken token_,
        address signer_,
        address guardian_,
        address timelock_
    ) SettlementActor(payer_, token_, signer_, guardian_, timelock_) {
        payer = payer_;
    }

    function payableWei() public view override returns (uint256) {
        return payer.reserveWei();
    }

    function trespassFurther(address who, uint96 amount) internal override {
        attempt(who, address(payer), abi.encodeCall(ReservePayer.withdraw, (who, amount % 2)));
        attempt(signer, address(payer), abi.encodeCall(ReservePayer.withdraw, (signer, 1)));
        attempt(guardian, address(payer), abi.encodeCall(ReservePayer.withdraw, (guardian, 1)));
    }

    /// @dev Small, so that the reserve sometimes is too small too.
    function fund(uint96 amount) external {
        amount = uint96(amount % 200_000e18);
        money.transfer(address(payer), amount);
        fundedWei += amount;
    }

    function withdraw(uint256 seed, uint96 amount) external {
        amount = uint96(amount % (payer.reserveWei() / 8 + 2));
        bool there = amount <= payer.reserveWei();
        vm.prank(timelock);
        try payer.withdraw(person(seed), amount) {
            if (!there) wronglyAccepted = true;
            withdrawnWei += amount;
            balances[person(seed)] += amount;
        } catch {
            if (there) wronglyAccepted = true;
        }
    }
}

contract ReserveInvariants is SettlementInvariants {
    uint256 private constant SUPPLY = 250_000_000e18;

    ReserveActor private actor;
    ReservePayer private payer;
    FixedSupplyToken private token;

    function setUp() public {
        vm.warp(1_800_000_000);
        (address signer, address guardian, address timelock) = (address(0x51), address(0x6A), address(0x71));
        token = new FixedSupplyToken(address(this), SUPPLY);
        payer = new ReservePayer(token, timelock, signer, guardian, 1_000_000e18, 1e18);
        actor = new ReserveActor(payer, token, signer, guardian, timelock);
        token.transfer(address(actor), SUPPLY);
    }

    function books() internal view override returns (SettlementActor) {
        return actor;
    }

    function settlement() internal view override returns (SettlementBase) {
        return payer;
    }

    function test_the_actor_reaches_what_it_is_there_for() external {
        actor.fund(100e18);
        actor.settle(0, 4, 2, 7e18);
        vm.assertEq(actor.settlements(), 1);
        vm.assertEq(actor.loggedWei(), 3 * (7e18 + 1));
        actor.withdraw(1, 5e18);
        vm.assertEq(actor.withdrawnWei(), 5e18);
        actor.settle(0, 4, 2, 200_000e18);
        vm.assertEq(actor.settlements(), 1);
        actor.trespass(1, 1);
        vm.assertFalse(actor.wronglyAccepted());
    }

    function invariant_reserve_paid_and_withdrawn_are_what_was_funded() external view {
        vm.assertEq(
            payer.reserveWei() + actor.settledWei() + actor.withdrawnWei(), actor.fundedWei(), "reserve"
        );
        vm.assertEq(token.totalSupply(), SUPPLY, "supply");
    }

    function invariant_everybody_has_what_was_paid_to_them() external view {
        uint256 sum = payer.reserveWei() + token.balanceOf(address(actor));
        for (uint256 i = 0; i < actor.PEOPLE(); ++i) {
            address account = actor.person(i);
            vm.assertEq(token.balanceOf(account), actor.balances(account), "balance");
            sum += actor.balances(account);
        }
        vm.assertEq(sum, SUPPLY, "sum of balances");
    }

    function invariant_the_deployer_has_no_role() external view {
        vm.assertTrue(payer.signer() != address(this) && payer.guardian() != address(this));
        vm.assertTrue(payer.timelock() != address(this));
    }
}
